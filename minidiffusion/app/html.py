r"""The components of the page that are HTML: pictures and words to click, command lines, status messages.

What users type and what files hold is escaped. A click on an element with the attribute data-click sends its data
attributes to the server (`page.js`).
"""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np
import PIL.Image
from jaxtyping import Float

from minidiffusion.images.fade import fade
from minidiffusion.images.png import to_png
from minidiffusion.images.record import Picture
from minidiffusion.picturebook.captions import LEXICON
from minidiffusion.prompt.flags import flags_help

from .history import Entry

EXAMPLES = (
    "a red house by the sea at night, watercolor",
    "a small blue cat in the snow",
    "沙漠里的橙色火箭，剪纸",
    "a {green, pink} teapot --ar 3:2",
)
SHORTCUTS: dict[str, tuple[str, dict[str, Any]]] = {"U": ("upscale", {}), "V": ("vary", {"strength": 0.7})}
"""The buttons below the gallery, as in Midjourney: an action, and its options."""


def picture_url(name: str) -> str:
    r"""Where the server has the picture of that name in the history."""
    return f"/pictures/{quote(name)}"


def data_url(image: PIL.Image.Image) -> str:
    r"""The image as a PNG in a data URL (RFC 2397)."""
    return "data:image/png;base64," + base64.b64encode(to_png(image)).decode()


def note(text: str) -> str:
    r"""What stands in a component that has nothing to show."""
    return f'<p class="note">{escape(text)}</p>'


def status(message: str, kind: str = "") -> str:
    r"""The status message below the prompt. kind: "error", or "busy" while a job waits or runs."""
    return f'<p class="{kind}" role="status">{escape(message)}</p>'


def preview(images: Sequence[PIL.Image.Image]) -> str:
    r"""The gallery while its pictures are being drawn."""
    shown = "".join(f'<span class="picture"><img src="{data_url(image)}" alt="unfinished"></span>' for image in images)
    return f'<div class="gallery n{len(images)}">{shown}</div>'


def gallery(pictures: Sequence[str], selected: int) -> str:
    r"""The pictures, one of them selected, and below them the shortcuts for each."""
    if not pictures:
        return f'<div class="gallery empty">{note("Type a prompt and press Enter.")}</div>'
    shown = "".join(
        f'<button class="picture" data-click="select" data-index="{i}" aria-pressed="{str(i == selected).lower()}" '
        f'aria-label="picture {i + 1}"><img src="{escape(picture_url(name))}" alt=""></button>'
        for i, name in enumerate(pictures)
    )
    buttons = [
        f'<button data-click="{letter}" data-index="{i}" title="{action} picture {i + 1}">{letter}{i + 1}</button>'
        for letter, (action, _) in SHORTCUTS.items()
        for i in range(len(pictures))
    ]
    return f'<div class="gallery n{len(pictures)}">{shown}</div><div class="shortcuts">{"".join(buttons)}</div>'


def command_line(command: str) -> str:
    r"""A command line, with a button that copies it."""
    if not command:
        return ""
    return (
        f'<div class="command"><code>{escape(command)}</code>'
        f'<button data-copy="{escape(command)}" aria-label="copy the command">copy</button></div>'
    )


def details(picture: Picture | None, index: int) -> str:
    r"""The record of the selected picture."""
    if picture is None:
        return note("No picture is selected.")
    size, record = f"{picture.image.width} × {picture.image.height}", picture.record
    if record is None:
        return f'<p class="details"><b>Uploaded picture</b><small>{size}</small></p>'
    steps = f"{record.steps} {'tokens' if record.sampler == 'tokens' else 'steps'}"
    facts = escape(f"{record.action} · seed {record.seed} · {steps} · guidance {record.guidance:g} · {size}")
    title = f"<b>Picture {index + 1}</b>"
    return f'<p class="details">{title}<small>{facts}</small><q>{escape(record.prompt)}</q></p>'


def chip(click: str, text: str, title: str = "") -> str:
    r"""A text to click. click: whether it becomes the prompt ("replace") or is added to it ("append")."""
    title = f' title="{escape(title)}"' if title else ""
    return f'<button data-click="{click}" data-text="{escape(text)}"{title}>{escape(text)}</button>'


def examples() -> str:
    r"""Prompts to try."""
    return f'<div class="chips"><span>Examples</span>{"".join(chip("replace", text) for text in EXAMPLES)}</div>'


def vocabulary() -> str:
    r"""The words of the picture book's captions, by attribute; those that exist in English and Chinese."""
    rows = []
    for attribute, values in LEXICON.items():
        words = [(word["en"][0], word["zh"][0]) for word in values.values() if word["en"] and word["zh"]]
        chips = "".join(chip("append", english, chinese) for english, chinese in words)
        rows.append(f'<div class="chips"><span>{escape(attribute)}</span>{chips}</div>')
    return "".join(rows)


def flags() -> str:
    limits = note("Pictures in a prompt, and so --iw, --sref and --sw, work on the command line only.")
    return f'{limits}<pre class="flags">{escape(flags_help())}</pre>'


def history(entries: Sequence[Entry], folder: str) -> str:
    r"""The entries of the history, the newest first."""
    if not entries:
        return note(f"No pictures yet. They are saved in the folder {folder}.")
    shown = "".join(
        f'<button data-click="open" data-name="{escape(entry.name)}" title="{escape(entry.title)}">'
        f'<img loading="lazy" src="{escape(picture_url(entry.name))}" alt="{escape(entry.title)}"></button>'
        for entry in entries
    )
    return f'<div class="thumbnails">{shown}</div>'


def blend_pictures(names: Sequence[str]) -> str:
    r"""The pictures that will be blended."""
    if not names:
        return note("Add two or more pictures. To add one, select it, if need be in the history.")
    shown = "".join(f'<img src="{escape(picture_url(name))}" alt="">' for name in names)
    return f'<div class="thumbnails">{shown}</div>'


def captions(picture: Picture, texts: Sequence[str], command: str) -> str:
    r"""Captions of a picture; a click makes one the prompt."""
    chips = "".join(chip("replace", text) for text in texts)
    return f'<div class="chips tall">{chips}</div>{command_line(command)}'


def attention_maps(picture: Picture, maps: Sequence[tuple[str, Float[np.ndarray, "h w"]]], command: str) -> str:
    r"""For each word of the prompt the picture, faded to white where the attention to that word is small."""
    pixels = np.asarray(picture.image.convert("RGB"))
    shown = []
    for word, weights in maps:
        url = data_url(PIL.Image.fromarray(fade(pixels, weights)))
        shown.append(f'<figure><img src="{url}" alt=""><figcaption>{escape(word)}</figcaption></figure>')
    return f'<div class="maps">{"".join(shown)}</div>{command_line(command)}'


def mask_canvas(name: str | None, size: tuple[int, int]) -> str:
    r"""The selected picture under a canvas of the same size, on which a mask is painted (`paint.js`)."""
    if name is None:
        return note("Select a picture first.")
    width, height = size
    return (
        f'<div class="canvas"><img src="{escape(picture_url(name))}" alt="">'
        f'<canvas width="{width}" height="{height}" aria-label="mask"></canvas></div>'
    )
