r"""Words of a prompt that the model has never read, and the nearest that it has.

CLIP was trained on the captions of one small world. A word from outside it is no error (the tokenizer splits it into
shorter pieces), but the picture will not show it, so whoever typed it gets a remark that names the known words.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Protocol, runtime_checkable

from minidiffusion.clip.tokenizer import END_OF_WORD, IDEOGRAPH, Tokenizer, clip_words
from minidiffusion.errors import quoted
from minidiffusion.picturebook.captions import vocabulary
from minidiffusion.picturebook.scene import SUBJECTS

from .flags import Prompt


@runtime_checkable
class ReadsText(Protocol):
    r"""A pipeline, of which only the text side is needed here. clip: None for Stable Diffusion."""

    tokenizer: Tokenizer

    @property
    def clip(self) -> object | None: ...

    @property
    def context_length(self) -> int: ...


def remarks(prompts: Sequence[Prompt], model: ReadsText, of_picturebook: bool) -> Iterator[str]:
    r"""Sentences about what the pictures will not show: unknown words, and text beyond the context length.

    of_picturebook: whether the model was trained on the captions of the picture book; else its tokenizer says which
    words were in its captions. Stable Diffusion was trained on the web, so none of its words are remarked on.
    """
    for text in dict.fromkeys(text for each in prompts for text in (*(part.text for part in each.parts), *each.no)):
        if model.clip is not None:  # it is for Stable Diffusion
            unknown = unknown_words(text, None if of_picturebook else words_of(model.tokenizer))
            for word, nearest in unknown.items():
                if nearest:
                    yield f"Unknown word {quoted(word)}; the nearest known words: {', '.join(nearest)}."
            if strange := ", ".join(quoted(word) for word, nearest in unknown.items() if not nearest):
                yield f"Unknown: {strange}" + (f"; known subjects: {', '.join(SUBJECTS)}." if of_picturebook else ".")
        if lost := model.tokenizer.dropped(text, model.context_length):
            yield f"The text is longer than the context; not read is: {quoted(lost)}."


def unknown_words(prompt: str, known: Collection[str] | None = None, most: int = 8) -> dict[str, list[str]]:
    r"""The words that are not `known`, in order, each with up to three known words that are spelt alike (maybe none).

    known: by default the vocabulary of the picture book. A run of Chinese is cut at the longest known words; what lies
    between them is unknown. Emoji count as words; punctuation, digits and single letters are passed over. A prompt can
    be long, so at most `most` words are returned.
    """
    known = {piece for word in (vocabulary() if known is None else known) for piece in pieces(word)}
    unknown = dict.fromkeys(word for piece in pieces(prompt) for word in unknown_parts(piece, known))
    return {word: get_close_matches(word, sorted(known), n=3, cutoff=0.6) for word in islice(unknown, most)}


def pieces(text: str) -> list[str]:
    r"""The text as words of CLIP's pattern, with runs of Chinese apart from anything else: "红色cat" -> 红色, cat."""
    words = clip_words(unicodedata.normalize("NFKC", text))
    return [piece for word in words for piece in re.split(f"({IDEOGRAPH}+)", word) if piece]


def unknown_parts(piece: str, known: Collection[str]) -> list[str]:
    r"""What of a piece is unknown: unknown terms within a run of Chinese, the whole of another word, each emoji."""
    if re.match(IDEOGRAPH, piece):
        return unknown_chinese(piece, known)
    if piece[0].isalpha():
        return [piece] if len(piece) > 1 and piece not in known else []
    return [sign for sign in piece if unicodedata.category(sign) == "So"]


def unknown_chinese(text: str, known: Collection[str]) -> list[str]:
    r"""What is left of a run of Chinese when the longest known word is taken out, again and again, from the left."""
    longest = max(map(len, known), default=0)
    unknown, start = [""], 0
    while start < len(text):
        ends = range(min(len(text), start + longest), start, -1)
        end = next((end for end in ends if text[start:end] in known), None)
        if end is None:
            unknown[-1] += text[start]
            start += 1
        else:
            unknown.append("")
            start = end
    return [word for word in unknown if word]


def words_of(tokenizer: Tokenizer) -> frozenset[str]:
    r"""The words that have an id of their own: those which the captions that it was trained on used."""
    merged = range(512, tokenizer.start)
    return frozenset(tokenizer.decode([i]) for i in merged if tokenizer.symbols[i].endswith(END_OF_WORD))
