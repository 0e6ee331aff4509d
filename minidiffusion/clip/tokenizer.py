r"""Byte-pair encoding: text in, a few small integers out, and nothing is ever unknown.

Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; over bytes as in GPT-2, Radford et al. 2019, section 2.2) in the
arrangement of CLIP (Radford et al. 2021, section 2.4). A text is

1. *split into words*, by rule (:data:`SPLITTERS`);
2. each word *spelt in bytes* of UTF-8, the last byte carrying the mark ``</w>``, "a word ends here";
3. neighbours are *merged*, the pair learnt first going first, until no learnt pair is left.

Every byte is a symbol of its own, so a word that training never saw costs more symbols but is never lost. The ids::

    0 .. 255         the 256 bytes, in the order of `byte_alphabet`
    256 .. 511       the same bytes at the end of a word
    512 .. n - 3     one for each merge, in the order learnt
    n - 2, n - 1     start and end of text; the end has the largest id, so that CLIP finds it with argmax

Start and end never come out of a text: a literal "<|endoftext|>" in a prompt is spelt like any other word, so nobody
can end the prompt early by typing it.
"""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, write_atomically

from minidiffusion.clip.vocabulary import mend, openai_merges

END_OF_WORD = "</w>"
SPECIALS = ("<|startoftext|>", "<|endoftext|>")
CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)", re.IGNORECASE)
IDEOGRAPH = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # a Chinese character, as a pattern

Pair = tuple[str, str]


def byte_alphabet() -> dict[int, str]:
    r"""One printable character for each byte, in the order of the ids, so that symbols can be read, printed and stored.

    The 188 bytes that are printable in Latin-1 stand for themselves and come first; the others (control characters,
    space, 0x7f to 0xa0, the soft hyphen) borrow the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(0x100)) - set(printable))
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


LETTER = byte_alphabet()
BYTE = {letter: byte for byte, letter in LETTER.items()}


def clip_words(text: str) -> list[str]:
    r"""Lower case, then CLIP's pattern  ``'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+``.

    Runs of letters, single digits, runs of anything else but space; an English contraction is a word of its own. Lone
    surrogates, which no UTF-8 can spell, become "?".
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
    r"""CLIP's words, but every Chinese character is a word of its own, and full-width forms count as the usual ones.

    Chinese has no spaces, so to CLIP's pattern a whole clause is one "word" and BPE learns chunks that straddle its
    real words: moving one attribute of the picture then changes the ids of its neighbours too. One id a character gives
    the same ids in every order, also in orders that training never saw; and since a character says about as much as an
    English syllable, a full caption still fits in CLIP's short context. NFKC folds "，" into "," and "Ａ" into "a".
    """
    words = clip_words(unicodedata.normalize("NFKC", text))
    return [piece for word in words for piece in re.split(f"({IDEOGRAPH})", word) if piece]


def mended_words(text: str) -> list[str]:
    r"""CLIP's words of the mended text, which is what OpenAI's tokenizer splits; transformers' does not mend."""
    return clip_words(mend(text))


SPLITTERS: dict[str, Callable[[str], list[str]]] = {
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
    r"""The n merges that BPE learns: again and again the most frequent pair of neighbours becomes one symbol.

    Works on word types with their counts, not on the running text, and touches only the words that hold the pair.
    Equal counts are settled by the alphabet, so the same texts in any order give the same merges.
    Fewer than n merges come back when every word has become a single symbol.
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
    r"""Texts to ids and back. Learn one with :meth:`train`, keep it with :meth:`save`, or hand over known merges.

    Args:
        merges: pairs of symbols, first learnt first, each made of symbols that exist by then.
        words: name of the rule in :data:`SPLITTERS` that cuts a text into words.

    Raises ValueError for an unknown rule or a merge of symbols that do not exist.
    """

    def __init__(self, merges: Iterable[Pair], words: str = "ideographs") -> None:
        if words not in SPLITTERS:
            raise ValueError(f"no rule {words!r} to split words; there are: {', '.join(SPLITTERS)}")
        self.merges = [(left, right) for left, right in merges]
        self.rule = words
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
    def train(cls, texts: Iterable[str], vocab_size: int, words: str = "ideographs") -> "Tokenizer":
        r"""Learn merges from texts until there are `vocab_size` ids (fewer if the texts have no pair left to merge).

        Deterministic, whatever the order of the texts. Raises ValueError for a vocab_size below 514, the ids
        that every vocabulary has.
        """
        if vocab_size < 514:
            raise ValueError(f"vocab_size is {vocab_size}, but 512 byte symbols and 2 specials need at least 514")
        counts = Counter(word for text in texts for word in SPLITTERS[words](text))
        return cls(learn_merges(counts, vocab_size - 514), words)

    @classmethod
    def openai(cls, fix: bool = False) -> "Tokenizer":
        r"""OpenAI's 49,408 ids, for its CLIPs and for Stable Diffusion 1.

        fix: mend texts first, as OpenAI's own tokenizer does and transformers' does not; needs the package ftfy, else
        ValueError. Unlike in OpenAI's, a typed "<|endoftext|>" is spelt out, and texts are NFC also without `fix`.
        """
        if fix:
            mend("")  # complains now, not at the first text
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
        r"""The text as the tokenizer sees it: normalised and cut into words."""
        return SPLITTERS[self.rule](text)

    def encode(self, text: str) -> list[int]:
        r"""The ids of a text, without start and end. Any string is valid; "" and blanks give []."""
        return [i for word in self.words(text) for i in self.encode_word(word)]

    def encode_word(self, word: str) -> list[int]:
        r"""The ids of one word: spell it, then apply the merges, the one learnt first going first."""
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
        if len(self.cache) < 65_536:  # captions use some hundred words; a stream of others must not fill the memory
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
                raise ValueError(f"id {i} is outside 0..{self.end}")
            if i < self.start:
                symbol = self.symbols[i]
                spelt += bytes(BYTE[letter] for letter in symbol.removesuffix(END_OF_WORD))
                spelt += b" " if symbol.endswith(END_OF_WORD) else b""
        return spelt.decode("utf-8", "replace").strip(" ")

    def __call__(
        self, texts: str | Sequence[str], context_length: int = 32, padding: int | None = None
    ) -> Int[Tensor, "b n"]:
        r"""A batch of texts as rows ``start, ids..., end, end, ...`` of context_length ids each.

        A text that is too long is cut and still closed by `end`; :meth:`dropped` says what was lost.
        padding: what fills the row after the first `end`. None is `end` itself, as in Stable Diffusion; OpenAI's CLIP
        has 0. CLIP's vector of a text is the same either way: its first `end` sees nothing of what follows.
        Raises ValueError for a context_length below 2 and a padding outside 0..n-1.
        """
        room, padding = self.room(context_length), self.end if padding is None else padding
        if not 0 <= padding <= self.end:
            raise ValueError(f"padding {padding} is outside 0..{self.end}")
        rows = torch.full((1 if isinstance(texts, str) else len(texts), context_length), padding, dtype=torch.long)
        for row, text in zip(rows, [texts] if isinstance(texts, str) else texts, strict=True):
            ids = [self.start, *self.encode(text)[:room], self.end]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    def room(self, context_length: int) -> int:
        r"""How many ids of a text fit between start and end."""
        if context_length < 2:
            raise ValueError(f"context_length is {context_length}, but start and end alone need 2")
        return context_length - 2

    def fits(self, text: str, context_length: int = 32) -> bool:
        r"""Whether nothing of the text is cut off."""
        return len(self.encode(text)) <= self.room(context_length)

    def dropped(self, text: str, context_length: int = 32) -> str:
        r"""The words that are cut off, wholly or in part, separated by spaces; "" if the text fits."""
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
