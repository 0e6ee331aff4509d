r"""The weights that come with minidiffusion: whole, repeatable, and obedient."""

import pytest
import torch

from minidiffusion.checkpoint import load_model
from minidiffusion.imagine.evaluate import obedience, read
from minidiffusion.imagine.pipeline import SHIPPED, TextToImage
from minidiffusion.imagine.questions import draw_prompts, exam_rng
from minidiffusion.networks.judge import Judge, JudgeConfig

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
def test_it_does_what_it_is_told_and_only_with_guidance(model):
    prompts = draw_prompts(32, exam_rng(123), "seen", "both")
    judge = load_model(SHIPPED / "picturebook", "judge", JudgeConfig, Judge)

    def found(guidance: float) -> float:
        pictures = model.generate([p.text for p in prompts], range(32), steps=15, guidance=guidance)
        share = obedience(prompts, read(judge, pictures))["seen"]["every single"]
        return share.right / share.n

    assert found(4.0) > 0.9
    assert found(0.0) < 0.5  # the negative control: pictures of the same seeds, but of no prompt


def test_the_weights_are_small_enough_to_ship():
    size = sum(path.stat().st_size for path in (SHIPPED / "picturebook").iterdir())
    assert size < 30e6


def test_no_two_seeds_give_the_same_picture(model):
    with torch.no_grad():
        pictures = model.generate(PROMPT, seeds=[0, 1, 2, 3], steps=5)
    assert torch.pdist(pictures.flatten(1)).min() > 1
