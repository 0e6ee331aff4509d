r"""Pictures that are written as tokens, with a tiny random model: seeds, drafts, given rows, records, weights."""

import json
import shutil
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from minidiffusion.actions.registry import again
from minidiffusion.actions.vary import vary
from minidiffusion.actions.write import write
from minidiffusion.checkpoint import CheckpointError
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.images.pixels import to_pixels
from minidiffusion.images.record import Picture, Record
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings, draft_seeds
from minidiffusion.prompt.conditions import forget
from minidiffusion.tokens.sampling import sample_tokens
from minidiffusion.tokens.seq2seq import Seq2Seq
from minidiffusion.version import __version__
from tests.tiny import tiny_model
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline

PROMPT = "a red house by the sea"
SAME = {"rtol": 0, "atol": 1e-5}  # float32, in batches of other sizes


@pytest.fixture(scope="module")
def pipeline() -> TokenPipeline:
    return tiny_token_pipeline()


@pytest.fixture(scope="module")
def photo() -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


# -------------------------------------------------------------------------------------------------------------- writing


def test_it_is_the_parts_one_after_the_other(pipeline):
    how = TokenSamplingSettings(guidance=2.5, temperature=0.7, top_k=20, top_p=0.8)
    x = pipeline.generate([f"{PROMPT} --no snow", "a cat --no snow"], [5, 6], how)
    words = pipeline.tokenizer([PROMPT, "a cat", "snow", "snow"], 12)
    settings = {"scale": 2.5, "temperature": 0.7, "top_k": 20, "top_p": 0.8}
    *_, last = sample_tokens(pipeline.transformer, words[:2], words[2:], seeded(5, 6), **settings)
    with torch.no_grad():
        expected = pipeline.codebook.decode(last.ids.reshape(2, 4, 4))
    assert (expected.abs() > 1).any()  # so it matters that nothing leaves the range of a picture
    torch.testing.assert_close(x, expected.clamp(-1, 1), **SAME)


@pytest.mark.parametrize("how", [TokenSamplingSettings(), TokenSamplingSettings(drafts=3, top_p=1.0)])
def test_a_seed_makes_the_same_picture_alone_and_at_any_place_in_a_batch(pipeline, how):
    seeds = [7, 100, 3, 2**32 - 1]
    batch, turned = pipeline.generate(PROMPT, seeds, how), pipeline.generate(PROMPT, seeds[::-1], how)
    for i, seed in enumerate(seeds):
        torch.testing.assert_close(pipeline.generate(PROMPT, [seed], how)[0], batch[i], **SAME)
        torch.testing.assert_close(turned[3 - i], batch[i], **SAME)
        assert (batch[i] - batch[i - 1]).abs().max() > 0.1


def test_every_setting_matters(pipeline):
    usual = pipeline.generate(PROMPT, [0, 1, 2])
    suits = TokenSamplingSettings(guidance=1.5)
    torch.testing.assert_close(usual, pipeline.generate(PROMPT, [0, 1, 2], suits))
    for change in ({"guidance": 1.0}, {"temperature": 0.3}, {"top_k": 2}, {"top_p": 0.3}):
        assert (pipeline.generate(PROMPT, [0, 1, 2], TokenSamplingSettings(**change)) - usual).abs().max() > 0.1, change
    assert (pipeline.generate(f"{PROMPT} --no snow", [0, 1, 2]) - usual).abs().max() > 0.1


def test_guidance_0_is_the_negative_prompt(pipeline):
    one = pipeline.generate(f"{PROMPT} --no the snow", [0, 1], TokenSamplingSettings(guidance=0.0))
    torch.testing.assert_close(one, pipeline.generate("the snow", [0, 1], TokenSamplingSettings(guidance=1.0)), **SAME)


@pytest.mark.parametrize(
    ("prompts", "seeds", "how", "complaint"),
    [
        (PROMPT, [-1], {}, "seed must be between 0 and 4294967295, got -1"),
        ([PROMPT], [0, 1], {}, "got 1 prompts and 2 seeds"),
        (PROMPT, [0], {"guidance": 101.0}, "guidance must be between 0 and 100, got 101.0"),
        (PROMPT, [0], {"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        (PROMPT, [0], {"top_k": 33}, "top_k must be between 1 and 32, got 33"),
        (PROMPT, [0], {"drafts": 0}, "drafts must be between 1 and 64, got 0"),
        (PROMPT, [0], {"drafts": 65}, "drafts must be between 1 and 64, got 65"),
    ],
)
def test_settings_outside_their_range_are_refused(pipeline, prompts, seeds, how, complaint):
    with pytest.raises(ValueError, match=complaint):
        pipeline.generate(prompts, seeds, TokenSamplingSettings(**how))


# --------------------------------------------------------------------------------------------------------------- drafts


def test_the_draft_is_shown_that_clip_finds_nearest_to_its_own_prompt(pipeline):
    prompts, seeds = ["a small blue cat", "夜晚海边的红色小房子"], [3, 4]
    shown = pipeline.generate(prompts, seeds, TokenSamplingSettings(drafts=5))
    chosen = []
    for prompt, seed, picture in zip(prompts, seeds, shown, strict=True):
        drafts = pipeline.generate(prompt, draft_seeds(seed, 5))
        with torch.no_grad():
            logits = pipeline.clip(drafts, pipeline.tokenizer([prompt], pipeline.clip.config.context_length))[:, 0]
        chosen.append(int(logits.argmax()))
        torch.testing.assert_close(picture, drafts[chosen[-1]], **SAME)
    assert chosen != [0, 0] and logits.max() - logits.median() > 0.01


def test_more_drafts_are_the_same_ones_and_others(pipeline):
    assert draft_seeds(9, 1) == [9] and draft_seeds(9, 3) == draft_seeds(9, 64)[:3]
    assert len({draft for seed in range(50) for draft in draft_seeds(seed, 4)}) == 200
    shown = [pipeline.generate(PROMPT, [9], TokenSamplingSettings(drafts=n)) for n in (1, 4, 16)]
    best = [pipeline.similarity(x, [PROMPT]).item() for x in shown]
    assert best[0] < best[1] < best[2]


# ------------------------------------------------------------------------------------------------------ the first rows


def test_the_first_rows_are_kept_and_the_others_written(pipeline, photo):
    known, ids = pipeline.first_rows(photo, 3), []
    how = TokenSamplingSettings(drafts=2, on_token=lambda token: ids.append(token.ids))
    x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 127.5 - 1
    assert torch.equal(known, pipeline.codebook.encode(x)[:, :3].reshape(1, 12))
    pipeline.generate(PROMPT, [0, 1], how, known)
    assert [each.shape for each in ids] == [(4, n) for n in (13, 14, 15, 16)]
    assert torch.equal(ids[-1][:, :12], known.expand(4, -1)) and len(ids[-1][:, 12:].unique(dim=0)) == 4


def test_a_beginning_that_is_none_is_refused(pipeline, photo):
    for image, rows in ((photo, 0), (photo, 4), (photo.resize((16, 32)), 2)):
        with pytest.raises(ValueError, match=r"must be 16 x 16, .* rows must be between 1 and 3, got"):
            pipeline.first_rows(image, rows)


# -------------------------------------------------------------------------------------------------------------- records


def test_a_record_says_how_a_picture_was_written_and_that_is_enough(pipeline):
    how = TokenSamplingSettings(4.5, 0.9, 30, 0.99, 2)
    prompt = f"{PROMPT}::2 --no snow, rain --seed 8 --repeat 2"
    options = {"temperature": 0.9, "top_k": 30, "top_p": 0.99, "drafts": 2}
    pictures = write(pipeline, [], [5, 6], prompt, SamplingSettings(guidance=4.5), **options)
    own = f"{PROMPT}::2 --no snow, rain"
    of_all = (16, 4.5, "tokens", 16, 16, "", __version__, options, ())
    assert [picture.record for picture in pictures] == [Record("write", own, seed, *of_all) for seed in (5, 6)]
    assert write(pipeline, [], [5], PROMPT)[0].record.guidance == 1.5
    expected = to_pixels(pipeline.generate(f"{PROMPT} --no snow, rain", [5, 6], how))
    for picture, pixels in zip(pictures, expected, strict=True):
        assert (np.asarray(picture.image) == pixels).all()
        record = Record.from_dict(json.loads(json.dumps(picture.record.to_dict())))
        assert again(pipeline, record) == Picture(picture.image, picture.record)


def test_a_picture_that_was_given_a_beginning_can_be_made_again_from_both(pipeline, photo):
    (first,) = write(pipeline, Picture(photo, None), [1], PROMPT, rows=2)
    (second,) = write(pipeline, first, [2], "a cat", rows=3)
    assert second.record.settings["rows"] == 3 and second.record.sources == (first.record,)
    with pytest.raises(ValueError, match="from elsewhere, which is missing"):
        again(pipeline, second.record)
    assert again(pipeline, second.record, [photo]).image.tobytes() == second.image.tobytes()


def test_neither_pipeline_repeats_the_pictures_of_the_other(pipeline):
    diffusion = tiny_model()
    assert diffusion.weights_hash == pipeline.weights_hash == ""
    with pytest.raises(ValueError, match="made by other weights"):
        again(diffusion, write(pipeline, [], [1], PROMPT)[0].record)
    with pytest.raises(ValueError, match="made by other weights"):
        again(pipeline, diffusion.imagine(PROMPT, [1], steps=2)[0].record)
    begun = write(pipeline, [], [1], PROMPT)[0]
    (varied,) = vary(diffusion, begun, [2], settings=SamplingSettings(steps=2))
    with pytest.raises(ValueError, match="made by other weights"):
        again(diffusion, varied.record)
    for models in ((diffusion, pipeline), (pipeline, diffusion)):
        assert again(models[0], varied.record, other=models[1]).image.tobytes() == varied.image.tobytes()
    record = begun.record
    for settings in ({"colour": "red"}, {"drafts": "two"}, {"drafts": 65}, {"rows": 2, "on_token": "x"}):
        with pytest.raises(ValueError):
            again(pipeline, replace(record, settings=record.settings | settings))


def test_with_chaos_each_picture_forgets_words_of_its_own(pipeline):
    pictures = write(pipeline, [], [1, 2], f"{PROMPT} --chaos 100")
    texts = [forget(PROMPT, 100, seed) for seed in (1, 2)]
    assert texts[0] != texts[1]
    expected = to_pixels(pipeline.generate(texts, [1, 2]))
    assert all((np.asarray(picture.image) == x).all() for picture, x in zip(pictures, expected, strict=True))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        *((f"a house --{flag}", f"--{flag.split()[0]} is not for the token pipeline") for flag in (
            "ar 2:1", "stylize 500", "raw", "weird 5", "tile", "iw 2", "sref a.png", "sw 5", "quality 2", "stop 50",
        )),
        ("a house::2 fog::-1", ":: makes several"),
        ("a.png a house", "cannot look at pictures"),
    ],
)  # fmt: skip
def test_what_the_token_pipeline_cannot_use_is_refused(pipeline, prompt, words):
    with pytest.raises(ValueError, match=words):
        write(pipeline, [], [0], prompt)


# ------------------------------------------------------------------------------------------------------ weights on disk


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    return save_token_pipeline(tmp_path_factory.mktemp("weights"), pipeline)


def test_what_training_leaves_can_be_loaded(pipeline, folder, tmp_path):
    loaded = TokenPipeline.load(folder)
    two = TokenSamplingSettings(drafts=2)
    assert torch.equal(loaded.generate(PROMPT, [3], two), pipeline.generate(PROMPT, [3], two))
    assert len(loaded.weights_hash) == 64 and loaded.weights_hash == TokenPipeline.load(folder).weights_hash
    other = save_token_pipeline(shutil.copytree(folder, tmp_path / "copy"), pipeline)
    (other / "tokens.safetensors").write_bytes(
        (save_token_pipeline(tmp_path, tiny_token_pipeline(1)) / "tokens.safetensors").read_bytes()
    )
    assert TokenPipeline.load(other).weights_hash != loaded.weights_hash


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("tokenizer.json", "clip"),
        ("clip.safetensors", "clip"),
        ("codebook.json", "codebook"),
        ("tokens.json", "tokens"),
    ],
)
def test_of_what_is_missing_it_says_which_command_makes_it(folder, tmp_path, name, network):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(CheckpointError) as error:
        TokenPipeline.load(copy)
    assert (
        str(error.value)
        == f"{copy} lacks {name}, which this command makes: minidiffusion train {network} --out {copy}."
    )


def test_networks_that_do_not_fit_are_refused(pipeline, folder, tmp_path):
    for change, what in (
        ({"codes": 31}, "codes of the codebook, and of the transformer: 32 and 31"),
        ({"places": 17}, "places of a picture, and the next square: 17 and 16"),
        ({"places": 25}, "pixels of a picture, and of what CLIP sees: 20 and 16"),
        ({"text_vocab": 800}, "words of the tokenizer, and of the transformer"),
        ({"text_end": 5}, "the end of a text, to both"),
    ):
        with pytest.raises(ValueError, match=what):
            tiny_token_pipeline(**change)
    words = Tokenizer.train(["a red house by the sea"], 600)
    fitting = replace(pipeline.transformer.config, text_vocab=words.vocab_size, text_end=words.end)
    with pytest.raises(ValueError, match="tokens of the tokenizer, and of CLIP"):
        TokenPipeline(words, pipeline.clip, pipeline.codebook, Seq2Seq(fitting))
