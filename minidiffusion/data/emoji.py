r"""3,241 emoji of 32 x 32 pixels on a transparent background, with their names in English and Chinese.

The pictures are Google's Noto Emoji, the names and keywords Unicode's CLDR; EMOJI_NOTICE.md holds the sources and the
licences, make_emoji.py makes the file. There are no flags. A person with five skin tones is six pictures: the yellow
one and the five.

**Groups and the split.** A test picture must not have a near-duplicate in the training set. The skin tones of a person,
its woman's, man's and neutral form, and the form that faces right are therefore one group, and so are all families,
which Noto draws as silhouettes. A group is held out if the SHA-256 of its name, as a number, is a multiple of 10: about
one group in ten, depending on its name alone.

**The file.** `emoji.xz` is one xz stream: a line of JSON, then n x 32 x 32 x 4 bytes. The line is a list of n objects,
in Unicode's order, with the keys

    code         its code points: "1f469-1f3fd-200d-1f373"
    group        the code that its whole group has: "1f9d1-200d-1f373"
    category     "People & Body"
    subcategory  "person-role"
    tone         of the skin, 0: none, 1: light, ..., 5: dark
    name         {"en": "woman cook: medium skin tone", "zh": ...}
    keywords     {"en": ["chef"], "zh": [...]}, without those that are part of the name

A pixel is the bytes (red - green, green, blue - green, alpha), modulo 256: grey has zeros in two of them, which makes
the file smaller. Colours are not premultiplied by alpha; where alpha is 0 they are 0.
"""

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from minidiffusion.errors import UserError

from .captioned import Language

SIZE = 32
PACK = Path(__file__).with_suffix(".xz")
SHA256 = "3315c3718a862b1c23a09e67dacd2b869c0326f163690dd5fe16b0a83605029f"
CATEGORIES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
)
LABELS = ("category", "subcategory", "group", "member")
TEMPLATES = {
    "en": ("{name}", "{name} emoji", "an emoji that shows {name}", "{name}, {word}", "{word}, {name}"),
    "zh": ("{name}", "{name}表情", "表情符号：{name}", "{name}，{word}", "{word}，{name}"),
}


class Emoji:
    r"""Captioned pictures (`CaptionedPictures`) with their names, groups and labels, as `emoji` makes them.

    Per picture: `names` in English, `names_zh` in Chinese, `codes`, `groups`, `categories` and `tones` (0: none,
    1 to 5: from light to dark). `labels` are four indices: category (in CATEGORIES), subcategory, group, and member of
    its group. They count over all emoji, so they mean the same in both parts of a split.
    """

    def __init__(
        self,
        table: list[dict[str, Any]],
        pixels: UInt8[Tensor, "n 32 32 4"],
        labels: Int[Tensor, "n 4"],
        languages: tuple[Language, ...],
    ):
        self._table, self._pixels, self._languages = table, pixels, languages
        self.labels = labels
        self.names, self.names_zh = (tuple(row["name"][language] for row in table) for language in ("en", "zh"))
        self.codes, self.groups, self.categories, self.tones = (
            tuple(row[key] for row in table) for key in ("code", "group", "category", "tone")
        )

    def __len__(self) -> int:
        return len(self._table)

    def pictures(
        self, indices: Int[Tensor, " b"], background: Float[Tensor, "b 3"] | None = None
    ) -> Float[Tensor, "b 3 32 32"]:
        r"""The pictures in [-1, 1], alpha * colour + (1 - alpha) * background.

        background: a colour in [-1, 1] for each picture, white by default.
        """
        rgba = self._pixels[indices].permute(0, 3, 1, 2).float()
        colour, alpha = rgba[:, :3] / 127.5 - 1, rgba[:, 3:] / 255
        behind = torch.ones(len(rgba), 3) if background is None else background
        return alpha * colour + (1 - alpha) * behind[:, :, None, None]

    def captions(self, indices: Int[Tensor, " b"], generator: torch.Generator) -> list[str]:
        """One caption a picture, random at each call: the whole name, and sometimes a keyword."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))

        def one_of(choices):
            return choices[rng.integers(len(choices))]

        captions = []
        for i in indices.tolist():
            row, language = self._table[i], one_of(self._languages)
            words = row["keywords"][language] or [""]
            templates = [text for text in TEMPLATES[language] if words[0] or "{word}" not in text]
            captions.append(one_of(templates).format(name=row["name"][language], word=one_of(words)))
        return captions

    def split(self, held_out: bool) -> "Emoji":
        """The held-out pictures, or the others. No group is in both."""
        return self._only([is_held_out(group) == held_out for group in self.groups])

    def _only(self, wanted: list[bool]) -> "Emoji":
        table = [row for row, want in zip(self._table, wanted, strict=True) if want]
        mask = torch.tensor(wanted)
        return Emoji(table, self._pixels[mask], self.labels[mask], self._languages)


def emoji(skin_tones: bool = True, languages: tuple[Language, ...] = ("en",)) -> Emoji:
    r"""All emoji; without `skin_tones` each person in yellow only. languages: those of the captions.

    Raises UserError for no language or an unknown one.
    """
    if not languages or not set(languages) <= TEMPLATES.keys():
        raise UserError(f'languages must be some of "en" and "zh", got {languages}.')
    table, pixels = unpack(PACK.read_bytes())
    everything = Emoji(table, torch.from_numpy(pixels), number(table), tuple(languages))
    return everything if skin_tones else everything._only([tone == 0 for tone in everything.tones])


def is_held_out(group: str) -> bool:
    """True for one group in ten, by its name alone."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10 == 0


def number(table: list[dict[str, Any]]) -> Int[Tensor, "n 4"]:
    """LABELS of every picture: subcategories and groups in the order of the table, members in that of their group."""
    subcategories, groups, sizes, labels = {}, {}, {}, []
    for row in table:
        member = sizes[row["group"]] = sizes.get(row["group"], -1) + 1
        subcategory = subcategories.setdefault(row["subcategory"], len(subcategories))
        group = groups.setdefault(row["group"], len(groups))
        labels.append((CATEGORIES.index(row["category"]), subcategory, group, member))
    return torch.tensor(labels)


def pack(table: list[dict[str, Any]], pixels: np.ndarray) -> bytes:
    """The file's bytes, from the table and its n x 32 x 32 x 4 RGBA bytes."""
    line = json.dumps(table, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
    differences = pixels.copy()
    differences[..., 0::2] -= pixels[..., 1:2]
    # lp, pb = 2: the compressor uses the position of a byte in its pixel of 2^2 bytes.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 2**24, "lc": 2, "lp": 2, "pb": 2}]
    return lzma.compress(line.encode() + differences.tobytes(), filters=filters)


def unpack(file: bytes) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The inverse of `pack`."""
    line, differences = lzma.decompress(file).split(b"\n", 1)
    pixels = np.frombuffer(differences, np.uint8).reshape(-1, SIZE, SIZE, 4).copy()
    pixels[..., 0::2] += pixels[..., 1:2]
    return json.loads(line), pixels
