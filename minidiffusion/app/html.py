r"""The parts of the page that are text: pictures to click, words to click, and sentences.

Whatever comes from a person or a file is escaped. A click on an element with the attribute data-do tells the server
what stands in its data attributes (`page.js`).
"""

import base64
import io
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

import numpy as np
import PIL.Image
from jaxtyping import Float

from minidiffusion.images.record import Picture
from minidiffusion.prompt.parser import flags_help
from minidiffusion.picturebook.captions import LEXICON

from minidiffusion.app.history import Sheet

EXAMPLES = (
    "a red house by the sea at night, watercolor",
    "a small blue cat in the snow",
    "沙漠里的橙色火箭，剪纸",
    "a {green, pink} teapot --ar 3:2",
)


def address(name: str) -> str:
    r"""Of a picture in the history."""
    return f"/pictures/{quote(name)}"


def inline(image: PIL.Image.Image) -> str:
    r"""A picture as an address that holds it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def say(sentence: str, kind: str = "") -> str:
    r"""A sentence next to the prompt. kind: "bad" for a refusal, "busy" while something is being drawn."""
    return f'<p class="{kind}" role="status">{escape(sentence)}</p>'


def live(previews: Sequence[PIL.Image.Image]) -> str:
    r"""The stage while it is being drawn on."""
    shown = "".join(f'<span class="picture"><img src="{inline(image)}" alt="unfinished"></span>' for image in previews)
    return f'<div class="stage n{len(previews)}">{shown}</div>'


def stage(pictures: Sequence[str], chosen: int) -> str:
    r"""The pictures, one of which is chosen, and below them Midjourney's buttons: U enlarges one, V varies it."""
    if not pictures:
        return '<div class="stage empty"><p>Write what you want to see, and press Enter.</p></div>'
    shown = "".join(
        f'<button class="picture" data-do="choose" data-n="{n}" aria-pressed="{str(n == chosen).lower()}" '
        f'aria-label="picture {n + 1}"><img src="{escape(address(name))}" alt=""></button>'
        for n, name in enumerate(pictures)
    )
    buttons = "".join(
        "<div>"
        + "".join(
            f'<button data-do="{letter}" data-n="{n}" title="{what} picture {n + 1}">{letter}{n + 1}</button>'
            for n in range(len(pictures))
        )
        + "</div>"
        for letter, what in (("U", "enlarge"), ("V", "vary"))
    )
    return f'<div class="stage n{len(pictures)}">{shown}</div><div class="uv">{buttons}</div>'


def typed(command: str) -> str:
    r"""The command that does the same, with a button that copies it."""
    if not command:
        return ""
    return (
        f'<div class="typed"><code>{escape(command)}</code>'
        f'<button data-copy="{escape(command)}" aria-label="copy the command">copy</button></div>'
    )


def about(picture: Picture | None, n: int) -> str:
    r"""Which picture is chosen, and how it came about."""
    if picture is None:
        return '<p class="about">Nothing is chosen yet.</p>'
    width, height = picture.image.size
    record = picture.record
    facts = [f"{width} × {height}"]
    if record is None:
        return f'<p class="about"><b>A picture from elsewhere</b><small>{facts[0]}</small></p>'
    steps = f"{record.steps} {'tokens' if record.action == 'write' else 'steps'}"
    facts = [record.action, f"seed {record.seed}", steps, f"guidance {record.guidance:g}", *facts]
    told = f"<small>{escape(' · '.join(facts))}</small><q>{escape(record.prompt)}</q>"
    return f'<p class="about"><b>Picture {n + 1}</b>{told}</p>'


def ideas() -> str:
    r"""Prompts to try."""
    chips = "".join(f'<button data-do="write" data-words="{escape(text)}">{escape(text)}</button>' for text in EXAMPLES)
    return f'<div class="chips"><span>Try</span>{chips}</div>'


def known_words() -> str:
    r"""What the picture book's captions can say, for each attribute, in English and Chinese."""
    rows = []
    for attribute, values in LEXICON.items():
        chips = "".join(
            f'<button data-do="add" data-words="{escape(value["en"][0])}" title="{escape(value["zh"][0])}">'
            f"{escape(value['en'][0])}</button>"
            for value in values.values()
            if value["en"] and value["zh"]
        )
        rows.append(f'<div class="chips"><span>{escape(attribute)}</span>{chips}</div>')
    return "".join(rows)


def flags() -> str:
    note = '<p class="quiet">Pictures in a prompt, and so --iw, --sref and --sw, work on the command line only.</p>'
    return f'{note}<pre class="flags">{escape(flags_help())}</pre>'


def past(sheets: Sequence[Sheet], folder: str) -> str:
    r"""The history, the newest first."""
    if not sheets:
        return f'<p class="quiet">Nothing yet. Pictures are kept in the folder {escape(folder)}.</p>'
    shown = "".join(
        f'<button data-do="open" data-name="{escape(sheet.name)}" title="{escape(sheet.title)}">'
        f'<img loading="lazy" src="{escape(address(sheet.name))}" alt="{escape(sheet.title)}"></button>'
        for sheet in sheets
    )
    return f'<div class="past">{shown}</div>'


def tray(names: Sequence[str]) -> str:
    r"""The pictures that are to be blended."""
    if not names:
        return '<p class="quiet">Two to five pictures: choose one, perhaps from the history, and add it.</p>'
    return '<div class="past">' + "".join(f'<img src="{escape(address(name))}" alt="">' for name in names) + "</div>"


def captions(picture: Picture, sentences: Sequence[str], command: str) -> str:
    r"""What a picture shows, in sentences that can become the prompt."""
    chips = "".join(f'<button data-do="write" data-words="{escape(s)}">{escape(s)}</button>' for s in sentences)
    return f'<div class="chips tall">{chips}</div>{typed(command)}'


def maps(picture: Picture, looked: Sequence[tuple[str, Float[np.ndarray, "h w"]]], command: str) -> str:
    r"""For each word of the prompt the picture in fog, which is gone where the network looked at the word most."""
    shown = []
    for word, weights in looked:
        clear = PIL.Image.fromarray((255 * weights / weights.max()).round().astype(np.uint8))
        fog = PIL.Image.new("RGB", picture.image.size, "white")
        fog.paste(picture.image, mask=clear.resize(picture.image.size, PIL.Image.Resampling.NEAREST))
        shown.append(f'<figure><img src="{inline(fog)}" alt=""><figcaption>{escape(word)}</figcaption></figure>')
    return f'<div class="maps">{"".join(shown)}</div>{typed(command)}'


def canvas(name: str | None, size: tuple[int, int]) -> str:
    r"""The chosen picture under a layer to paint on."""
    if name is None:
        return '<p class="quiet">Choose a picture first.</p>'
    width, height = size
    return (
        f'<div class="canvas"><img src="{escape(address(name))}" alt="">'
        f'<canvas width="{width}" height="{height}" aria-label="paint here"></canvas></div>'
    )
