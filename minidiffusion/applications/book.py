r"""What it is good for: a picture book from a story, a sheet of icons, a pattern for a wall (article 5).

A **story** is a text file. Its first line, if it begins with "# ", is the title; every other line that is not empty is
a page. A page may say what is read and what is drawn, with a bar between:

    # The lighthouse and the sea
    In the evening the light went on. | a white lighthouse by the sea at sunset, watercolor
    At night nobody slept. | a white lighthouse by the sea at night, watercolor --seed 7

Without a bar the same words are read and drawn. The book is one HTML file that holds its pictures and loads nothing; a
browser prints it, one page a sheet.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import PIL.Image

from minidiffusion.actions.registry import imagine, upscale
from minidiffusion.pipelines.settings import DEFAULTS, SamplingSettings
from minidiffusion.images.grid import grid
from minidiffusion.images.png import to_png
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.parser import Prompt, jobs, parse
from minidiffusion.images.record import Picture

MOST_PAGES = 100


class Page(NamedTuple):
    r"""What is read, and what is drawn."""

    text: str
    prompt: Prompt


def read_story(story: str) -> tuple[str, list[Page]]:
    r"""(title, pages). Raises ValueError for no page, for more than MOST_PAGES, and for a prompt that is not valid."""
    lines = [line.strip() for line in story.splitlines() if line.strip()]
    title = lines.pop(0).removeprefix("# ") if lines and lines[0].startswith("# ") else ""
    if not 1 <= len(lines) <= MOST_PAGES:
        raise ValueError(f"The story has {len(lines)} pages; valid are 1 to {MOST_PAGES}, each a line.")
    pages = []
    for number, line in enumerate(lines, start=1):
        text, bar, prompt = line.partition("|")
        try:
            pages.append(Page(text.strip(), parse((prompt if bar else text).strip())))
        except ValueError as error:
            raise ValueError(f"Page {number}: {error}") from error
    return title, pages


def illustrate(model: TextToImage, pages: Sequence[Page], seed: int = 0, how: SamplingSettings = DEFAULTS) -> list[Picture]:
    r"""A picture for each page, with twice the pixels that the model draws. Page i has its own seed, or `seed` + i."""
    pictures = []
    for i, page in enumerate(pages):
        own = seed + i if page.prompt.seed is None else page.prompt.seed
        (picture,) = imagine(model, page.prompt, [own], how)
        pictures += upscale(model, picture, [own])
    return pictures


def book(title: str, texts: Sequence[str], pictures: Sequence[Picture]) -> str:
    r"""The book as HTML: whatever the texts hold is shown, and nothing of it is run."""
    leaves = [
        f'<section><img alt="{html.escape(text)}" src="data:image/png;base64,{embedded(picture)}">'
        f"<p>{html.escape(text)}</p></section>"
        for text, picture in zip(texts, pictures, strict=True)
    ]
    cover = [f"<section><h1>{html.escape(title)}</h1></section>"] if title else []
    return HEAD.replace("TITLE", html.escape(title or "A picture book")) + "\n".join([*cover, *leaves, "</html>\n"])


HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>TITLE</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { background: #f4f0e6; color: #333; font: 22px/1.6 Georgia, "Songti SC", serif; margin: 0; text-align: center }
section { padding: 8vh 1em; break-after: page }
img { width: min(80vw, 70vh, 640px); border-radius: 6px; box-shadow: 0 4px 24px #0003 }
h1 { font-weight: normal; margin: 20vh 0 }
</style>
"""


def embedded(picture: Picture) -> str:
    record = picture.record.to_dict() if picture.record else {}
    return base64.b64encode(to_png(picture.image, record)).decode()


def icons(model: TextToImage, text: str, seed: int = 0, how: SamplingSettings = DEFAULTS) -> tuple[PIL.Image.Image, list[Picture]]:
    r"""A sheet of what the choices of a prompt make, all from one seed so that they belong together, and the icons.

    "a {red, blue} {house, boat}, paper cut" makes four. Each is drawn with twice the pixels.
    """
    prompts = jobs(text)
    drawn = [imagine(model, prompt, [seed], how)[0] for prompt in prompts]
    large = [upscale(model, picture, [seed])[0] for picture in drawn]
    return grid([picture.image for picture in large], enlarge=2), large


def pattern(
    model: TextToImage, text: str, seed: int = 0, times: int = 3, how: SamplingSettings = DEFAULTS
) -> tuple[PIL.Image.Image, Picture]:
    r"""A picture without a seam (--tile), laid `times` x `times` side by side, and the one picture."""
    if not 1 <= times <= 16:
        raise ValueError(f"The pattern is to be laid {times} times each way; valid are 1 to 16.")
    (picture,) = imagine(model, replace(parse(text), tile=True), [seed], how)
    tile = picture.image
    wall = PIL.Image.new("RGB", (times * tile.width, times * tile.height))
    for i in range(times * times):
        wall.paste(tile, (i % times * tile.width, i // times * tile.height))
    return wall, picture
