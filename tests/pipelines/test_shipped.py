r"""The weights that come with minidiffusion: whole, repeatable, and obedient."""

import numpy as np
import PIL.Image
import pytest
import torch

from minidiffusion.actions.upscale import enlarge
from minidiffusion.checkpoint import load_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.evaluation.evaluate import prompt_accuracy
from minidiffusion.evaluation.exam_prompts import draw_prompts, exam_rng, renders
from minidiffusion.evaluation.judge import Judge, JudgeConfig, read_attributes
from minidiffusion.images.pixels import psnr
from minidiffusion.latent.vq import usage
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import ATTRIBUTES, random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings
from minidiffusion.pretrained.weights import SHIPPED
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig

PROMPT = "a red house by the sea at night, watercolor"


@pytest.fixture(scope="module")
def model():
    return TextToImage.load("picturebook")


@pytest.mark.slow
def test_a_picture_is_the_same_alone_and_in_a_batch_of_16(model):
    together = model.generate(PROMPT, seeds=range(16))
    for i in (0, 7, 15):
        alone = model.generate(PROMPT, seeds=[i])
        assert (together[i] - alone[0]).abs().max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_text_tokens_still_tell_what_the_prompt_said(language):
    r"""What a linear map cannot read from CLIP's tokens, the denoiser was hardly told."""
    clip = load_model(SHIPPED / "picturebook", "clip", CLIPConfig, CLIP)
    tokenizer = Tokenizer.load(SHIPPED / "picturebook" / "tokenizer.json")
    prompts = draw_prompts(4000, exam_rng(5), "seen", language)
    ids = tokenizer([p.text for p in prompts], clip.config.context_length)
    with torch.no_grad():
        x = torch.cat([clip.text_model(part)[0].mean(dim=1) for part in ids.split(500)])
    x = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(len(x), 1)], dim=1)
    train = torch.arange(len(x)) < 3000
    for i, (name, values) in enumerate(ATTRIBUTES.items()):
        told = torch.tensor([name in p.mentioned for p in prompts])
        labels = torch.tensor([p.scene.labels[i] for p in prompts])
        wanted = torch.nn.functional.one_hot(labels, len(values)).float()
        w = torch.linalg.lstsq(x[told & train], wanted[told & train]).solution
        right = (x[told & ~train] @ w).argmax(dim=1) == labels[told & ~train]
        assert right.float().mean() > 0.95, name


@pytest.mark.slow
def test_it_does_what_it_is_told_and_only_with_guidance(model):
    prompts = draw_prompts(32, exam_rng(123), "seen", "both")
    judge = load_model(SHIPPED / "picturebook", "judge", JudgeConfig, Judge)

    def found(guidance: float) -> float:
        pictures = model.generate([p.text for p in prompts], range(32), steps=15, guidance=guidance)
        share = prompt_accuracy(prompts, read_attributes(judge, pictures))["seen"]["every single"]
        return share.right / share.n

    assert found(2.5) > 0.95
    assert found(0.0) < 0.5  # the negative control: pictures of the same seeds, but of no prompt


@pytest.mark.slow
def test_what_is_written_as_tokens_is_what_the_prompt_says_and_only_with_the_prompt():
    writer, judge = TokenPipeline.load("picturebook"), load_model(SHIPPED / "picturebook", "judge", JudgeConfig, Judge)
    prompts = draw_prompts(64, exam_rng(124), "seen", "both")

    def found(guidance: float | None) -> float:
        pictures = writer.generate([p.text for p in prompts], range(64), TokenSamplingSettings(guidance))
        with torch.no_grad():
            share = prompt_accuracy(prompts, read_attributes(judge, pictures))["seen"]["every single"]
        return share.right / share.n

    assert found(None) > 0.93
    assert found(0.0) < 0.5


@pytest.mark.slow
def test_the_codebook_uses_its_words_on_pages_of_pairs_that_it_has_never_seen():
    codebook = load_model(SHIPPED / "picturebook", "codebook", PictureTokenizerConfig, PictureTokenizer)
    rng = exam_rng(125)
    pages = renders([random_scene(rng, "held_out") for _ in range(300)])
    with torch.no_grad():
        ids = codebook.encode(pages)
        told = codebook.decode(ids).clamp(-1, 1)
    assert usage(ids, codebook.config.codes) >= 0.8
    assert psnr(told, pages).mean() > 25.8  # 26.3 when it was made


def test_no_two_seeds_give_the_same_picture(model):
    with torch.no_grad():
        pictures = model.generate(PROMPT, seeds=[0, 1, 2, 3], steps=5)
    assert torch.pdist(pictures.flatten(1)).min() > 1


@pytest.mark.slow
def test_the_upscaler_is_two_decibels_nearer_to_a_larger_drawing_than_lanczos(model):
    scenes = [random_scene(exam_rng(60 + i), "held_out") for i in range(60)]
    gains = []
    for scene in scenes:
        small, large = PIL.Image.fromarray(render(scene)), render(scene, scale=2).astype(float)
        lanczos = small.resize((128, 128), PIL.Image.Resampling.LANCZOS)
        errors = [((np.asarray(image) - large) ** 2).mean() for image in (enlarge(model, small), lanczos)]
        gains.append(10 * np.log10(errors[1] / errors[0]))
    assert np.mean(gains) >= 2 and np.mean(np.array(gains) > 0) > 0.95
