r"""Byte-pair encoding: any text as a few integers, without unknown words.

Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; over bytes as in GPT-2, Radford et al. 2019, section 2.2) in the
arrangement of CLIP (Radford et al. 2021, section 2.4). A text is

1. *split into words*, by rule (:data:`SPLITTERS`);
2. each word *spelt in bytes* of UTF-8, the last byte with the mark ``</w>``, the end of a word;
3. neighbours are *merged*, in the order in which pairs were learnt, until no learnt pair is left.

Every byte is a symbol of its own, so a word that was not in the training texts takes more symbols, but is never lost.
The ids::

    0 .. 255         the 256 bytes, in the order of `byte_alphabet`
    256 .. 511       the same bytes at the end of a word
    512 .. n - 3     one for each merge, in the order learnt
    n - 2, n - 1     start and end of text; the end has the largest id, so that CLIP finds it with argmax

No text contains start or end: a literal "<|endoftext|>" in a prompt is spelt like any other word, so it cannot end the
prompt early.
"""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, write_atomically

from .vocabulary import mend, openai_merges

END_OF_WORD = "</w>"
SPECIALS = ("<|startoftext|>", "<|endoftext|>")
CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)", re.IGNORECASE)
IDEOGRAPH = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # a Chinese character, as a pattern

Pair = tuple[str, str]


def byte_alphabet() -> dict[int, str]:
    r"""One printable character for each byte, in the order of the ids, so that symbols can be read, printed and stored.

    The 188 bytes that are printable in Latin-1 are themselves and come first; the others (control characters, space,
    0x7f to 0xa0, the soft hyphen) get the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(0x100)) - set(printable))
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


LETTER = byte_alphabet()
BYTE = {letter: byte for byte, letter in LETTER.items()}


def clip_words(text: str) -> list[str]:
    r"""Lower case, then CLIP's pattern  ``'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+``.

    Runs of letters, single digits, runs of anything else but space; an English contraction is a word of its own. Lone
    surrogates, which UTF-8 cannot encode, become "?".
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode()).lower()
    return [word for run in text.split() for word in split_run(run)]


@lru_cache(maxsize=8192)
def split_run(run: str) -> list[str]:
    r"""CLIP's pattern on a run without spaces; a loop over Unicode categories, since Python's `re` has no ``\p{L}``."""
    kinds = [unicodedata.category(character)[0] for character in run]
    kinds = [kind if kind in "LN" else "other" for kind in kinds]
    words, start = [], 0
    while start < len(run):
        end = start + 1
        if contraction := CONTRACTION.match(run, start):
            end = contraction.end()
        elif kinds[start] != "N":
            while end < len(run) and kinds[end] == kinds[start]:
                end += 1
        words.append(run[start:end])
        start = end
    return words


def ideograph_words(text: str) -> list[str]:
    r"""CLIP's words, but every Chinese character is a word of its own, and full-width forms equal the usual ones.

    Chinese has no spaces, so in CLIP's pattern a whole clause is one "word" and BPE learns pieces across its real
    words: moving one attribute then changes the ids of its neighbours too. One id a character gives the same ids in
    every order, also in orders that were not in training; and as a character holds about as much as an English
    syllable, a full caption still fits in CLIP's short context. NFKC maps "，" to "," and "Ａ" to "a".
    """
    words = clip_words(unicodedata.normalize("NFKC", text))
    return [piece for word in words for piece in re.split(f"({IDEOGRAPH})", word) if piece]


def mended_words(text: str) -> list[str]:
    r"""CLIP's words of the repaired text, as in OpenAI's tokenizer; transformers' does not repair texts."""
    return clip_words(mend(text))


SplitRule = Literal["clip", "clip-mended", "ideographs"]

SPLITTERS: dict[SplitRule, Callable[[str], list[str]]] = {
    "clip": clip_words,
    "clip-mended": mended_words,
    "ideographs": ideograph_words,
}


def spell(word: str) -> list[str]:
    r"""A word as symbols, one a byte of its UTF-8, the last one marked: "sea" -> ["s", "e", "a</w>"]."""
    symbols = [LETTER[byte] for byte in word.encode("utf-8")]
    symbols[-1] += END_OF_WORD
    return symbols


def merge(symbols: list[str], pair: Pair) -> list[str]:
    r"""Replace each occurrence of the pair, from the left: merge(["s", "e", "a"], ("s", "e")) -> ["se", "a"]."""
    merged: list[str] = []
    i = 0
    while i < len(symbols):
        if symbols[i] == pair[0] and symbols[i + 1 : i + 2] == [pair[1]]:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


def learn_merges(counts: Counter[str], n: int) -> list[Pair]:
    r"""The n merges that BPE learns: repeatedly, the most frequent pair of neighbours becomes one symbol.

    Works on distinct words with their counts, not on the text, and updates only words with the pair. Ties are broken
    alphabetically, so the same texts in any order give the same merges. Returns fewer than n merges if every word has
    become a single symbol.
    """
    words = {word: spell(word) for word in sorted(counts)}
    pairs: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[str]] = defaultdict(set)

    def count(word: str, sign: int) -> None:
        for pair in pairwise(words[word]):
            pairs[pair] += sign * counts[word]
            holders[pair].add(word)

    for word in words:
        count(word, +1)
    merges: list[Pair] = []
    while len(merges) < n and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        for word in holders.pop(best):
            count(word, -1)
            words[word] = merge(words[word], best)
            count(word, +1)
        merges.append(best)
        pairs = +pairs  # drops the pairs that no longer occur
    return merges


class Tokenizer:
    r"""Texts to ids and back. Learn one with :meth:`train`, write it with :meth:`save`, or pass known merges.

    Args:
        merges: pairs of symbols, first learnt first, each made of symbols that exist by then.
        words: name of the rule in :data:`SPLITTERS` that cuts a text into words.

    Raises ValueError for an unknown rule or a merge of symbols that do not exist.
    """

    def __init__(self, merges: Iterable[Pair], words: SplitRule = "ideographs") -> None:
        if words not in SPLITTERS:
            raise ValueError(f"words must be one of {', '.join(SPLITTERS)}, got {words!r}")
        self.merges = [(left, right) for left, right in merges]
        self.rule: SplitRule = words
        self.symbols = [*BYTE, *(letter + END_OF_WORD for letter in BYTE)]
        known = set(self.symbols)
        for left, right in self.merges:
            if left not in known or right not in known:
                raise ValueError(f"the merge of {left!r} and {right!r} uses a symbol that does not exist before it")
            known.add(left + right)
            self.symbols.append(left + right)
        self.symbols += SPECIALS
        self.ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.cache: dict[str, list[int]] = {}

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, words: SplitRule = "ideographs") -> "Tokenizer":
        r"""Learn merges from texts until there are `vocab_size` ids (fewer if the texts have no pair left to merge).

        Deterministic, whatever the order of the texts. Raises ValueError for a vocab_size below 514, the ids
        that every vocabulary has.
        """
        if vocab_size < 514:
            raise ValueError(f"vocab_size must be at least 514 (512 bytes, 2 special tokens), got {vocab_size}")
        counts = Counter(word for text in texts for word in SPLITTERS[words](text))
        return cls(learn_merges(counts, vocab_size - 514), words)

    @classmethod
    def openai(cls, fix: bool = False) -> "Tokenizer":
        r"""OpenAI's 49,408 ids, for its CLIPs and for Stable Diffusion 1.

        fix: repair texts first, as OpenAI's own tokenizer does and transformers' does not; raises UserError without the
        package ftfy. Unlike in OpenAI's, a typed "<|endoftext|>" is spelt out, and texts are NFC also without `fix`.
        """
        if fix:
            mend("")  # raises now, not at the first text
        return cls(openai_merges(), "clip-mended" if fix else "clip")

    @property
    def vocab_size(self) -> int:
        r"""How many ids there are: n in the table above."""
        return len(self.symbols)

    @property
    def start(self) -> int:
        r"""The id n - 2, which opens every row."""
        return self.vocab_size - 2

    @property
    def end(self) -> int:
        r"""The id n - 1, which closes every row and fills it up."""
        return self.vocab_size - 1

    def words(self, text: str) -> list[str]:
        r"""The text, normalised and split into words."""
        return SPLITTERS[self.rule](text)

    def encode(self, text: str) -> list[int]:
        r"""The ids of a text, without start and end. Any string is valid; "" and blanks give []."""
        return [i for word in self.words(text) for i in self.encode_word(word)]

    def encode_word(self, word: str) -> list[int]:
        r"""The ids of one word: its bytes, then the merges, in the order in which they were learnt."""
        if word in self.cache:
            return self.cache[word]
        symbols = spell(word)
        while len(symbols) > 1:
            pairs = set(pairwise(symbols))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            symbols = merge(symbols, best)
        ids = [self.ids[symbol] for symbol in symbols]
        if len(self.cache) < 65_536:  # captions use some hundred words; others must not fill the memory
            self.cache[word] = ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        r"""The words that the ids spell, separated by single spaces; start and end are left out.

        decode(encode(text)) == " ".join(words(text)): the spacing of the text is not in the ids. Ids that stop in the
        middle of a character give U+FFFD. Raises ValueError for an id outside 0..n-1.
        """
        spelt = bytearray()
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"an id must be in 0..{self.end}, got {i}")
            if i < self.start:
                symbol = self.symbols[i]
                spelt += bytes(BYTE[letter] for letter in symbol.removesuffix(END_OF_WORD))
                spelt += b" " if symbol.endswith(END_OF_WORD) else b""
        return spelt.decode("utf-8", "replace").strip(" ")

    def __call__(
        self, texts: str | Sequence[str], context_length: int = 32, padding: int | None = None
    ) -> Int[Tensor, "b n"]:
        r"""A batch of texts as rows ``start, ids..., end, end, ...`` of context_length ids each.

        A text that is too long is truncated and still closed by `end`; :meth:`dropped` returns the rest of it.
        padding: the id after the first `end`. None is `end` itself, as in Stable Diffusion; OpenAI's CLIP has 0. CLIP's
        vector of a text is the same in both cases, as the causal mask hides from `end` what follows.
        Raises ValueError for a context_length below 2 and a padding outside 0..n-1.
        """
        room = self.room(context_length)
        padding = self.end if padding is None else padding
        if not 0 <= padding <= self.end:
            raise ValueError(f"padding must be in 0..{self.end}, got {padding}")
        rows = torch.full((1 if isinstance(texts, str) else len(texts), context_length), padding, dtype=torch.long)
        for row, text in zip(rows, [texts] if isinstance(texts, str) else texts, strict=True):
            ids = [self.start, *self.encode(text)[:room], self.end]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    def room(self, context_length: int) -> int:
        r"""The number of ids of a text that fit between start and end."""
        if context_length < 2:
            raise ValueError(f"context_length must be at least 2, for start and end, got {context_length}")
        return context_length - 2

    def dropped(self, text: str, context_length: int = 32) -> str:
        r"""The words that are truncated, wholly or in part, separated by spaces; "" if the text fits."""
        words, room = self.words(text), self.room(context_length)
        for i, word in enumerate(words):
            room -= len(self.encode_word(word))
            if room < 0:
                return " ".join(words[i:])
        return ""

    def save(self, path: str | Path) -> None:
        r"""Write the rule and the merges as JSON, atomically."""
        merges = [" ".join(pair) for pair in self.merges]
        text = json.dumps({"words": self.rule, "merges": merges}, ensure_ascii=False, indent=1)
        write_atomically(Path(path), text.encode("utf-8"))

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        r"""Read what :meth:`save` wrote. Raises CheckpointError, with one sentence, if the file is anything else."""
        try:
            content = json.loads(Path(path).read_bytes())
            left_right = [merge.split(" ") for merge in content["merges"]]
            return cls([(left, right) for left, right in left_right], content["words"])
        except OSError as error:
            raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{path} is not a tokenizer written by minidiffusion.") from error
