r"""The contact sheet: pictures of 48 randomly chosen prompts, with the prompts underneath."""

import io
import textwrap
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from minidiffusion.checkpoint import write_atomically
from minidiffusion.images.grid import grid
from minidiffusion.images.pixels import to_pixels

from .exam_prompts import draw_prompts, exam_rng

COLUMNS, ROWS = 8, 6
SIDE, GAP, STRIP = 192, 10, 58  # of a picture, around it, and of the prompt under it, in pixels
FONT_SIZE, LINE, LETTERS = 11, 13, 34  # a line of that many letters is as wide as a picture


def contact_sheet(
    generate: Callable[[list[str], list[int]], Float[Tensor, "b 3 h w"]], path: Path, seed: int = 0, batch: int = 16
) -> None:
    r"""Writes the sheet as a PNG: English prompts drawn from the grammar with `seed`, none chosen by hand.

    generate: prompts, one seed each -> pictures in [-1, 1]. Raises `CheckpointError` if `path` cannot be written.
    """
    prompts = [prompt.text for prompt in draw_prompts(COLUMNS * ROWS, exam_rng(seed), language="en")]
    seeds = list(range(len(prompts)))
    chunks = [generate(prompts[i : i + batch], seeds[i : i + batch]) for i in range(0, len(prompts), batch)]
    buffer = io.BytesIO()
    arrange(torch.cat(chunks), prompts).save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def arrange(pictures: Float[Tensor, "n 3 h w"], captions: list[str]) -> Image.Image:
    r"""Pictures in [-1, 1] in rows of eight, enlarged without smoothing, each over its caption."""
    tiles, font = [], ImageFont.load_default(FONT_SIZE)
    for picture, caption in zip(to_pixels(pictures), captions, strict=True):
        tile = Image.new("RGB", (SIDE + GAP, SIDE + STRIP), "white")
        tile.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.NEAREST))
        for line, words in enumerate(textwrap.wrap(caption, LETTERS)):
            ImageDraw.Draw(tile).text((0, SIDE + 2 + line * LINE), words, "black", font)
        tiles.append(tile)
    return ImageOps.expand(grid(tiles, COLUMNS, enlarge=1, gap=0), (GAP, GAP, 0, 0), "white")
