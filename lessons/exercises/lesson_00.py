r"""The exercises of lesson 00: guidance, the difference of two pictures, the places in a grid."""

import numpy as np
import torch

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion.guidance import combine
from minidiffusion.diffusion.prediction import Prediction


def guide(eps_u, eps_c, scale):
    r"""The library's guidance, which works on x_0 and eps at once; here for eps alone."""
    return combine(Prediction(eps_u, eps_u), Prediction(eps_c, eps_c), scale).eps


def guide_cases():
    generator = torch.Generator().manual_seed(0)
    for shape, scale in [((2, 4, 8, 8), 4.0), ((1, 3), 0.0), ((5,), 1.0), ((3, 2, 1), 7.5)]:
        yield torch.randn(shape, generator=generator), torch.randn(shape, generator=generator), scale
    square = torch.randn(4, 4, generator=generator)
    yield square.mT, square, 2.0  # not contiguous


def difference_map(a, b):
    r"""Mean absolute difference over the colour channels, 0 (the same) .. 1 (black against white)."""
    return np.abs(a.astype(float) - b.astype(float)).mean(axis=-1) / 255


def picture_cases():
    rng = np.random.default_rng(0)
    for height, width in [(64, 64), (2, 3), (1, 1)]:
        yield tuple(rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2))


def corner(i, columns, side, gap):
    r"""Left and upper edge of picture i, as in `minidiffusion.images.grid`: row by row, gaps between neighbours."""
    row, column = divmod(i, columns)
    return column * (side + gap), row * (side + gap)


def corner_cases():
    for i in (0, 1, 2, 3, 5):
        yield i, 2, 256, 8
    yield 7, 3, 64, 0
    yield 11, 4, 10, 1


check = Exercises(
    guide=Exercise(
        guide,
        guide_cases,
        mistakes={
            "only the push is left; start from eps_u and add the push to it":
                lambda u, c, scale: scale * (c - u),
            "eps_u and eps_c have changed places, so this pushes away from the prompt":
                lambda u, c, scale: c + scale * (u - c),
            "the push starts from eps_c, so scale 1 is already more than the network said; start from eps_u":
                lambda u, c, scale: c + scale * (c - u),
            "the scale multiplies eps_c alone; it belongs to the difference eps_c - eps_u":
                lambda u, c, scale: u + scale * c - u,
        },
    ),
    difference_map=Exercise(
        difference_map,
        picture_cases,
        mistakes={
            "uint8 cannot be negative: 3 - 5 is 254 there; turn the pictures into float before you subtract":
                lambda a, b: np.abs(a - b).mean(axis=-1) / 255,
            "without the absolute value, more red and less blue cancel out":
                lambda a, b: (a.astype(float) - b.astype(float)).mean(axis=-1) / 255,
            "this is in 0..255; divide by 255":
                lambda a, b: np.abs(a.astype(float) - b.astype(float)).mean(axis=-1),
            "this is the sum over the three colours; take the mean":
                lambda a, b: np.abs(a.astype(float) - b.astype(float)).sum(axis=-1) / 255,
            "one number for the whole picture; take the mean over the last axis only":
                lambda a, b: np.abs(a.astype(float) - b.astype(float)).mean() / 255,
        },
    ),
    corner=Exercise(
        corner,
        corner_cases,
        mistakes={
            "x and y have changed places: this fills the grid column by column":
                lambda i, columns, side, gap: corner(i, columns, side, gap)[::-1],
            "there is a gap before the first picture; the first one begins at (0, 0)":
                lambda i, columns, side, gap: tuple(edge + gap for edge in corner(i, columns, side, gap)),
            "the gaps are missing":
                lambda i, columns, side, gap: (i % columns * side, i // columns * side),
        },
    ),
)  # fmt: skip
