r"""The flags of a prompt: their names, what they take, and the value `Prompt` that holds them all.

A flag is one row, the field of `Prompt` that bears its name: default, type, and what it does. The parser, `format`,
the table of `minidiffusion flags` and the studio all read these rows.
"""

import math
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, NamedTuple

from .lexer import IMAGE, PromptError, cut, escape, unescape

MOST_JOBS = 40


class FlagType(NamedTuple):
    r"""What can be given: in words, how to read it (None if it is something else), and how to write it."""

    takes: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def number(low: int, high: int, convert: type[int] | type[float] = int) -> FlagType:
    r"""Digits, as people write them: Python itself would also take nan, 1e9, 1_000 and the digits of every script."""
    what, digits = ("whole number", "[0-9]{1,10}") if convert is int else ("number", r"([0-9]+\.?[0-9]*|\.[0-9]+)")

    def read(text: str) -> int | float | None:
        return convert(text) if re.fullmatch(f"-?{digits}", text) and low <= convert(text) <= high else None

    def write(value: int | float) -> str:
        return f"{Decimal(repr(convert(value))):f}".removesuffix(".0")  # every digit, and no exponent

    return FlagType(f"a {what} from {low} to {high}", read, write)


def read_ratio(text: str) -> tuple[int, int] | None:
    match = re.fullmatch("([0-9]{1,4})[:：]([0-9]{1,4})", text)
    width, height = map(int, match.groups()) if match else (0, 0)
    return (width, height) if 0 < width <= 2 * height <= 4 * width else None


def tidy(text: str) -> str:
    return unescape(" ".join(text.split()))


def read_list(text: str) -> tuple[str, ...] | None:
    items = tuple(tidy(item) for item in cut(text, "comma")[0])
    return items if all(items) else None


def write_list(items: tuple[str, ...]) -> str:
    return ", ".join(re.sub("[,，、]", r"\\\g<0>", escape(item)) for item in items)


def read_path(text: str) -> str | None:
    match = IMAGE.fullmatch(text)
    return unescape(match["quoted"] or match["bare"]) if match else None


def write_path(path: str) -> str:
    stem, dot, ending = path.rpartition(".")
    path = escape(stem).replace('"', r"\"") + dot + ending
    return path if IMAGE.fullmatch(path) else f'"{path}"'


TEXT = FlagType("words with single spaces between", lambda text: tidy(text) or None, escape)
LIST = FlagType("words with commas between", read_list, write_list)
IMAGES = 'a picture (.png .jpg .jpeg .webp .gif .bmp), "in quotes" if its name has spaces'
PATH = FlagType(IMAGES, read_path, write_path)
RATIO = FlagType("W:H in whole numbers, from 1:2 to 2:1", read_ratio, "{0[0]}:{0[1]}".format)
QUALITY = FlagType("1, 2 or 4", {"1": 1, "2": 2, "4": 4}.get)
SWITCH = FlagType("no value, and words come before all flags", {"": True}.get, lambda on: "")
WEIGHT = number(-100, 100, float)


def refusal(who: str, given: str, kind: FlagType) -> PromptError:
    return PromptError(f"{who} is {reprlib.repr(given) if given.strip() else 'empty'}; it takes {kind.takes}.")


def read(who: str, given: str, kind: FlagType) -> Any:
    r"""The text `given`, read as a value of this type. Raises PromptError, in which `who` names it."""
    value = kind.read(given)
    if value is None:
        raise refusal(who, given, kind)
    return value


def check(who: str, value: Any, kind: FlagType) -> None:
    r"""Raises PromptError unless the value, written as text, is read as the same value again."""
    if kind.read(kind.write(value)) != value:
        raise refusal(who, kind.write(value), kind)


# ----------------------------------------------------------------------------------------------------------- the rows


def flag(names: str, default: Any, kind: FlagType, does: str) -> Any:
    r"""A field of Prompt and all that is known of its flag; the first of the names is that of the field."""
    return field(default=default, metadata={"names": names.split(", "), "kind": kind, "does": does})


@dataclass(frozen=True)
class Part:
    r"""Some words and how much they count; a negative weight steers away from them.

    Raises PromptError for no words, and for a weight outside -100 to 100.
    """

    text: str
    weight: float = 1.0

    def __post_init__(self):
        check("A part of the prompt", self.text, TEXT)
        check(f"The weight of {reprlib.repr(self.text)}", self.weight, WEIGHT)


@dataclass(frozen=True)
class Prompt:
    r"""All that a prompt says. The flags are Midjourney's with its ranges and defaults, but --ar ends at 1:2 and 2:1.

    Raises PromptError for a value out of range, and if the sum of the weights is not more than 0.
    """

    parts: tuple[Part, ...] = ()
    images: tuple[str, ...] = ()
    ar: tuple[int, int] = flag("ar, aspect", (1, 1), RATIO, "width to height")
    seed: int | None = flag("seed", None, number(0, 2**32 - 1), "the seed of the random noise")
    chaos: int = flag("chaos, c", 0, number(0, 100), "how different the pictures of a grid are")
    no: tuple[str, ...] = flag("no", (), LIST, "what to stay away from")
    stylize: int = flag("stylize, s", 100, number(0, 1000), "how much of the house style")
    raw: bool = flag("raw, style raw", False, SWITCH, "nothing of the house style")
    weird: int = flag("weird, w", 0, number(0, 3000), "how far from what is usual")
    tile: bool = flag("tile", False, SWITCH, "a pattern that repeats without a seam")
    iw: float = flag("iw", 1.0, number(0, 3, float), "how much the images of the prompt count")
    sref: str | None = flag("sref", None, PATH, "a picture whose style is taken")
    sw: int = flag("sw", 100, number(0, 1000), "how much of that style")
    quality: int = flag("quality, q", 1, QUALITY, "how much time a picture may take")
    stop: int = flag("stop", 100, number(10, 100), "after which percentage of the steps to stop")
    repeat: int = flag("repeat, r", 1, number(1, MOST_JOBS), "how many jobs to make of the prompt")

    def __post_init__(self):
        for path in self.images:
            check("An image", path, PATH)
        for name, kind, value in given(self):
            check(f"--{name}", value, kind)
        total = math.fsum(part.weight for part in self.parts)
        if self.parts and total <= 0:
            raise PromptError(f"The sum of the weights must be more than 0, but is {total:g}.")


TABLE = [row for row in fields(Prompt) if row.metadata]
FLAGS = {name: row for row in TABLE for name in row.metadata["names"]}


def given(prompt: Prompt) -> list[tuple[str, FlagType, Any]]:
    r"""The flags that are not at their default, what they take, and their values."""
    values = [(row.name, row.metadata["kind"], getattr(prompt, row.name), row.default) for row in TABLE]
    return [(name, kind, value) for name, kind, value, default in values if value != default]


def flags_help() -> str:
    r"""The table of flags as text, two lines a flag."""
    lines = []
    for row in TABLE:
        default = "" if row.default in (None, ()) else row.metadata["kind"].write(row.default)
        lines.append(f"--{', --'.join(row.metadata['names'])}: {row.metadata['does']}")
        lines.append(f"    takes {row.metadata['kind'].takes}" + (f"; by default {default}" if default else ""))
    return "\n".join(lines)
