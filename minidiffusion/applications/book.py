r"""A picture book from a story (article 5).

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
from typing import NamedTuple

from minidiffusion.actions.upscale import upscale
from minidiffusion.errors import UserError
from minidiffusion.images.png import to_png
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.settings import DEFAULTS, SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.flags import Prompt
from minidiffusion.prompt.parser import parse

MOST_PAGES = 100


class Page(NamedTuple):
    r"""What is read, and what is drawn."""

    text: str
    prompt: Prompt


def read_story(story: str) -> tuple[str, list[Page]]:
    r"""(title, pages). Raises UserError for no page, for more than MOST_PAGES, and for a prompt that is not valid."""
    lines = [line.strip() for line in story.splitlines() if line.strip()]
    title = lines.pop(0).removeprefix("# ") if lines and lines[0].startswith("# ") else ""
    if not 1 <= len(lines) <= MOST_PAGES:
        raise UserError(f"A story must have 1 to {MOST_PAGES} pages, each a line, got {len(lines)}.")
    pages = []
    for number, line in enumerate(lines, start=1):
        text, bar, prompt = line.partition("|")
        try:
            pages.append(Page(text.strip(), parse((prompt if bar else text).strip())))
        except UserError as error:
            raise UserError(f"Page {number}: {error}") from error
    return title, pages


def illustrate(
    model: TextToImage, pages: Sequence[Page], seed: int = 0, settings: SamplingSettings = DEFAULTS
) -> list[Picture]:
    r"""A picture for each page, with twice the pixels that the model draws. Page i has its own seed, or `seed` + i."""
    pictures = []
    for i, page in enumerate(pages):
        own = seed + i if page.prompt.seed is None else page.prompt.seed
        (picture,) = model.imagine(page.prompt, [own], settings)
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
    return base64.b64encode(to_png(picture.image, picture.record)).decode()
