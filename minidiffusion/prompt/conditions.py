r"""The conditions of a picture: which texts guide it, and with which weights.

A denoiser can be guided by several texts at once (`guidance.composed`). Most of Midjourney's flags need no more:

    a::2 b::-.5      two texts, with these weights
    --chaos 50       each picture forgets some words of the prompt, others each time: at 100 half of them on average
    --stylize 500    the house style, storybook, is one text more, unless the prompt names a style or says --raw
    --weird 1000     a few words of a caption that somebody else might have written are one text more
    --sref FILE      the style of another picture, in words, is one text more
    an image         what it shows, in words, is one text more, with the weight --iw

What Midjourney's do inside is not known; these do what users see of theirs, and can be read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from minidiffusion.errors import UserError
from minidiffusion.picturebook.captions import LEXICON, caption
from minidiffusion.picturebook.scene import random_scene

from .flags import Prompt

HOUSE_STYLE = "storybook"
PLAIN = 100
"""--stylize at which a prompt means what it says."""
WORD = re.compile(r"[一-鿿]|[^\s一-鿿]+")
"""A Chinese character, or whatever stands between spaces."""


Weighted = tuple[str, float]
"""A text, and how much it counts."""


@dataclass(frozen=True)
class Conditions:
    r"""All that a sampler needs of the prompts of a batch of pictures."""

    texts: tuple[tuple[str, ...], ...]
    """For each picture, the texts that guide it; equally many for all."""
    weights: tuple[float, ...]
    """Of the texts, the same for all pictures."""
    negative: tuple[str, ...]
    """For each picture, the text that guidance leads away from."""
    ar: tuple[int, int]
    """As this and the following flags of `Prompt` say."""
    tile: bool
    quality: int
    stop: int


def conditions(prompts: Sequence[Prompt], seeds: Sequence[int], extra: Sequence[Weighted] = ()) -> Conditions:
    r"""The conditions of a batch, one prompt and one seed a picture.

    extra: more weighted texts for all, such as what other pictures show (`describe.picture_conditions`). Raises
    UserError for prompts that differ in more than words.
    """
    each = [weighted_texts(prompt, seed, extra) for prompt, seed in zip(prompts, seeds, strict=True)]
    shared = [
        (tuple(weight for _, weight in texts), prompt.ar, prompt.tile, prompt.quality, prompt.stop)
        for texts, prompt in zip(each, prompts, strict=True)
    ]
    if any(other != shared[0] for other in shared):
        raise UserError("The prompts of one batch must have the same weights, --ar, --tile, --quality and --stop.")
    texts = tuple(tuple(text for text, _ in texts) for texts in each)
    negative = tuple(", ".join(prompt.no) for prompt in prompts)
    weights, ar, tile, quality, stop = shared[0]
    return Conditions(texts, weights, negative, ar, tile, quality, stop)


def weighted_texts(prompt: Prompt, seed: int, extra: Sequence[Weighted] = ()) -> list[Weighted]:
    r"""The weighted texts for the picture of this seed; for all seeds equally many, with equal weights.

    Without any, it is the empty text.
    """
    parts = [(forget(part.text, prompt.chaos, seed), part.weight) for part in prompt.parts]
    if prompt.stylize > PLAIN and not prompt.raw and not any(names_style(part.text) for part in prompt.parts):
        parts.append((HOUSE_STYLE, (prompt.stylize - PLAIN) / (1000 - PLAIN)))
    if prompt.weird:
        parts.append((others(seed), prompt.weird / 3000))
    return [*parts, *extra] or [("", 1.0)]


def forget(text: str, chaos: int, seed: int) -> str:
    r"""The text without some of its words: each is lost with probability chaos / 200, but never all of them."""
    random = Random(ascii((seed, text)))
    words = list(WORD.finditer(text))
    lost = [word for word in words if random.random() < chaos / 200]
    if len(lost) == len(words):
        return text
    for word in reversed(lost):
        text = text[: word.start()] + text[word.end() :]
    return " ".join(text.split())


def names_style(text: str) -> bool:
    r"""True if a word for one of the styles of the picture book occurs in the text."""
    terms = [term for value in LEXICON["style"].values() for terms in value.values() for term in terms]
    return any(re.search(rf"(?<![A-Za-z]){re.escape(term)}(?![A-Za-z])", text, re.IGNORECASE) for term in terms)


def others(seed: int) -> str:
    r"""A caption of a scene that has nothing to do with the prompt."""
    rng = np.random.default_rng((seed, 0x0DD))
    return caption(random_scene(rng, "all"), rng, "en", leave_out=0.5 / 3).text
