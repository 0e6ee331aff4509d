r"""An augmented picture is still the picture, and its caption is still true."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from minidiffusion.checkpoint import load_model
from minidiffusion.clip.augment import crop, swap_sides
from minidiffusion.evaluation.judge import Judge, JudgeConfig
from minidiffusion.picturebook.captions import LANGUAGES, caption, describe
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES
from minidiffusion.pretrained.weights import find_weights


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ----------------------------------------------------------------------------------------------------------------- crop


def ramps(n: int, size: int) -> torch.Tensor:
    r"""Pictures whose channels are the column and the row that a pixel stands in, -1 to 1 at the picture's edges."""
    u = (2 * torch.arange(size) + 1) / size - 1
    columns, rows = u.expand(size, size), u[:, None].expand(size, size)
    return torch.stack([columns, rows]).expand(n, 2, size, size)


def test_a_crop_is_a_square_of_the_asked_size_anywhere_in_the_picture():
    n, size = 600, 16
    x = crop(ramps(n, size), seeded(), smallest=0.5)
    inner = x[:, :, 1:-1, 1:-1]  # the outermost may look beyond the last pixel's middle, where no ramp goes on
    slopes = (inner[:, 0].diff(dim=2), inner[:, 1].diff(dim=1))
    side = slopes[0][:, 0, 0] * size / 2
    for slope in slopes:  # even, and the same both ways: nothing is stretched
        torch.testing.assert_close(slope, (side * 2 / size)[:, None, None].expand_as(slope), atol=1e-5, rtol=0)
    centre = inner.mean(dim=(2, 3))  # of columns and rows
    assert side.min() >= 0.5 - 1e-5 and side.max() <= 1 + 1e-5
    assert (centre.abs() <= (1 - side)[:, None] + 1e-5).all()  # never outside
    place = centre[side < 0.9] / (1 - side[side < 0.9])[:, None]
    for sample, low, high in ((side, 0.5, 1), (place[:, 0], -1, 1), (place[:, 1], -1, 1)):
        ordered = (sample.sort().values - low) / (high - low)
        uniform = (torch.arange(len(sample)) + 0.5) / len(sample)
        assert (ordered - uniform).abs().max() < 1.95 / len(sample) ** 0.5  # Kolmogorov-Smirnov, one in a thousand
    assert abs(torch.corrcoef(place.T)[0, 1]) < 4 / len(place) ** 0.5  # column and row are drawn apart


def test_the_whole_picture_is_a_crop_too_and_depends_on_the_generator_alone():
    x = torch.rand(4, 3, 8, 6, generator=seeded()) * 2 - 1
    torch.testing.assert_close(crop(x, seeded(), smallest=1.0), x, atol=1e-6, rtol=0)
    assert torch.equal(crop(x, seeded(1)), crop(x, seeded(1))) and not torch.equal(
        crop(x, seeded(1)), crop(x, seeded(2))
    )
    white = torch.ones(100, 3, 4, 4)
    torch.testing.assert_close(crop(white, seeded()), white, atol=1e-6, rtol=0)  # also at the edges
    for smallest in (0.0, -1.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            crop(x, seeded(), smallest)


# --------------------------------------------------------------------------------------------------------------- mirror


@pytest.mark.parametrize(
    "text, mirrored",
    [
        ("a cat on the left", "a cat on the right"),
        ("left-facing fist", "right-facing fist"),
        ("a left arrow curving right", "a right arrow curving left"),  # both, and none goes there and back
        ("Right, RIGHT and rightwards", "Left, LEFT and leftwards"),
        ("bright leftovers, upright", "bright leftovers, upright"),
        ("夜晚左边的猫", "夜晚右边的猫"),
        ("左转弯向右", "右转弯向左"),
        ("红色猫left", "红色猫right"),
        ("左右两边", "左右两边"),  # both sides: as true in the mirror
        ("a cat in the centre", "a cat in the centre"),
    ],
)
def test_words_for_the_sides_are_exchanged_and_no_others(text, mirrored):
    assert swap_sides(text) == mirrored


def test_words_mirrored_twice_are_the_words():
    parts = ["left", "right", "Left", "RIGHT", "wards", "b", " ", "-", "左", "右", "边", "é"]
    for text in map("".join, product(parts, repeat=4)):
        assert swap_sides(swap_sides(text)) == text


# --------------------------------------------------------------------------------------- on the picture book, by others

OTHER = {"left": "right", "right": "left", "centre": "centre"}


@pytest.fixture(scope="module")
def book() -> PictureBook:
    return PictureBook(64, seed=1, cache=False)


def test_the_mirrored_caption_is_a_caption_of_the_mirrored_scene(book):
    for i in range(64):
        scene = book.scene(i)
        other = replace(scene, side=OTHER[scene.side])
        for language in LANGUAGES:
            assert swap_sides(describe(scene, language)) == describe(other, language)
            here, there = (caption(s, np.random.default_rng(i), language).text for s in (scene, other))
            assert swap_sides(here) == there  # in whatever words


@torch.no_grad()
def test_the_judge_reads_what_the_mirrored_caption_says_and_the_old_one_does_not(book):
    judge = load_model(find_weights("picturebook"), "judge", JudgeConfig, Judge)
    aside = torch.tensor([i for i in range(64) if book.scene(i).side != "centre"])
    before = [f"on the {book.scene(i).side}" for i in aside.tolist()]
    after = [swap_sides(text) for text in before]
    sides = judge(book.pictures(aside).flip(-1))["side"].argmax(dim=1)
    seen = [f"on the {ATTRIBUTES['side'][k]}" for k in sides.tolist()]
    assert seen == after and not any(a == b for a, b in zip(seen, before, strict=True))
