r"""The language of prompts, Midjourney's in miniature (article 1.2): from what somebody types to a value, and back.

    prompt = image* words ("::" weight? words)* flag*
    image  = a word ending in .png .jpg .jpeg .webp .gif or .bmp; "in quotes.png" if its name has spaces
    weight = a number directly after the colons, 1 if there is none
    flag   = "--" name value; the value reaches to the next flag
    {a, b} = choices, also nested, which `expand` writes out before the rest is read
    \x     = the sign x itself, where one of \ { } , : . " - would mean something

>>> prompt = parse("a red house by the sea::2 fog::-.5 --ar 3:2 --no red, rain --c 30")
>>> prompt.parts
(Part(text='a red house by the sea', weight=2.0), Part(text='fog', weight=-0.5))
>>> prompt.ar, prompt.no, prompt.chaos, prompt.stylize
((3, 2), ('red', 'rain'), 30, 100)
>>> format(prompt)
'a red house by the sea::2 fog::-0.5 --ar 3:2 --chaos 30 --no red, rain'
>>> parse('"my cat.png" a house').images
('my cat.png',)
>>> expand(r"a {red, {dark, light} blue} house")
['a red house', 'a dark blue house', 'a light blue house']

A flag begins after a space, after Chinese, or at the start: "sci-fi", "well--known" and "-5" are words. Phones, which
make one long dash of two short ones, and Chinese keyboards are understood.

>>> format(parse("海边的红色房子：：2 雾——ar 3：2 —no 红色、雨"))
'海边的红色房子::2 雾 --ar 3:2 --no 红色, 雨'

No file is opened here and PyTorch is not imported, so a mistake is found before anything heavy begins.
"""

import math
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NamedTuple

MOST_CHARACTERS = 6000
MOST_JOBS = 40

CHINESE = r"\u3000-\u30ff\u3400-\u9fff"  # and Japanese: written without spaces
DASHES = rf"(?<![^\s{CHINESE}\uff00-\uffef]) (?: -- | [—–]{{1,2}} ) (?=[A-Za-z])"
ENDING = r"\. (?: png | jpe?g | webp | gif | bmp )"
ESCAPED = r"""\\ ([\\{}｛｝,，、:：."\-—–])"""
SIGN = re.compile(
    rf"""{ESCAPED}
    | (?P<flag> {DASHES} (?P<name> [A-Za-z_-]{{1,30}} ) )
    | (?P<weight> [:：]{{2}} (?P<number> [^\s{CHINESE}\\{{}}｛｝,，]* ) )
    | (?P<open> [{{｛] ) | (?P<close> [}}｝] ) | (?P<comma> [,，、] )""",
    re.VERBOSE,
)
IMAGE = re.compile(
    rf"""(?: "(?P<quoted> (?: \\. | [^"\\] )* {ENDING} )" | (?P<bare> [^\s"]* [^\s"\\] {ENDING} ) )
    (?= \s | [:：]{{2}} | $ )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
SPECIAL = re.compile(
    rf"""\\ | [{{}}｛｝] | [:：] (?= [:：] | $ ) | {DASHES} | (?= {ENDING} "? (?: \s | [:：] | $ ) )""",
    re.VERBOSE | re.IGNORECASE,
)


class PromptError(ValueError):
    r"""A prompt that cannot be read. Its sentence names the place, what was given, and what is valid."""


# ---------------------------------------------------------------------------------------- signs, and the text between


def signs(text: str, *names: str) -> list[re.Match[str]]:
    r"""The signs of these kinds that are not escaped, in order. Raises PromptError for too long a text."""
    if len(text) > MOST_CHARACTERS:
        raise PromptError(f"The prompt has {len(text)} characters; at most {MOST_CHARACTERS} are read.")
    return [sign for sign in SIGN.finditer(text) if sign.lastgroup in names]


def cut(text: str, name: str) -> tuple[list[str], list[re.Match[str]]]:
    r"""The n + 1 pieces of a text between its n signs of a kind, and the signs."""
    found = signs(text, name)
    starts, ends = [0, *(sign.end() for sign in found)], [*(sign.start() for sign in found), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)], found


def escape(text: str) -> str:
    r"""With a backslash before whatever would be read as a sign."""
    return SPECIAL.sub(r"\\\g<0>", text)


def unescape(text: str) -> str:
    r"""Without those backslashes. One before a letter belongs to the text, as in C:\pictures."""
    return re.sub(ESCAPED, r"\1", text, flags=re.VERBOSE)


# ------------------------------------------------------------------------------------------------------ what flags take


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
PATH = FlagType('a picture (.png .jpg .jpeg .webp .gif .bmp), "in quotes" if its name has spaces', read_path, write_path)
RATIO = FlagType("W:H in whole numbers, from 1:2 to 2:1", read_ratio, "{0[0]}:{0[1]}".format)
QUALITY = FlagType("1, 2 or 4", {"1": 1, "2": 2, "4": 4}.get)
SWITCH = FlagType("no value, and words come before all flags", {"": True}.get, lambda on: "")
WEIGHT = number(-100, 100, float)


def refusal(who: str, given: str, kind: FlagType) -> PromptError:
    return PromptError(f"{who} is {reprlib.repr(given) if given.strip() else 'empty'}; it takes {kind.takes}.")


def read(who: str, given: str, kind: FlagType) -> Any:
    r"""What is written there. Raises PromptError if it is something else."""
    value = kind.read(given)
    if value is None:
        raise refusal(who, given, kind)
    return value


def check(who: str, value: Any, kind: FlagType) -> None:
    r"""What can be written and read again is valid. Raises PromptError."""
    if kind.read(kind.write(value)) != value:
        raise refusal(who, kind.write(value), kind)


# ------------------------------------------------------------------------------------------------------------ the table


def flag(names: str, default: Any, kind: FlagType, does: str) -> Any:
    r"""A field of Prompt and all that is known of its flag; the first of the names is that of the field."""
    return field(default=default, metadata={"names": names.split(", "), "kind": kind, "does": does})


@dataclass(frozen=True)
class Part:
    r"""Some words and how much they count; less than 0 is away from them. Raises PromptError for what is neither."""

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
    seed: int | None = flag("seed", None, number(0, 2**32 - 1), "where the noise begins; without it, anywhere")
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


# -------------------------------------------------------------------------------------------------- reading and writing


def parse(text: str) -> Prompt:
    r"""The prompt that a text says, whose choices must have been written out. Raises PromptError if it is not valid."""
    if braces := signs(text, "open", "close"):
        raise misplaced(braces[0], "belongs to choices, which are not written out")
    (head, *values), dashes = cut(text, "flag")
    flags = {}
    for sign, value in zip(dashes, values, strict=True):
        name, value = sign["name"].lower(), value.strip()
        if f"{name} {value}" in FLAGS:  # --style raw
            name, value = f"{name} {value}", ""
        if name not in FLAGS:
            near = get_close_matches(name, FLAGS, n=2)
            valid = f"did you mean --{' or --'.join(near)}?" if near else f"valid are --{', --'.join(FLAGS)}."
            raise PromptError(f"There is no flag --{name}; {valid} For the dashes themselves, write \\{sign[0]}.")
        name, kind = FLAGS[name].name, FLAGS[name].metadata["kind"]
        if name in flags:
            raise PromptError(f"--{name} is given twice; valid is once.")
        flags[name] = read(f"--{name}", value, kind)
    images = []
    while image := IMAGE.match(head := head.lstrip()):
        images.append(read_path(image[0]))
        head = head[image.end() :]
    pieces, colons = cut(head, "weight")
    weights = [colon["number"] or "1" for colon in colons]
    if pieces[-1].strip():
        weights.append("1")
    parts = []
    for words, weight in zip(pieces, weights, strict=False):  # nothing need follow the last ::
        words = read("A part of the prompt", words, TEXT)
        parts.append(Part(words, read(f"The weight of {reprlib.repr(words)}", weight, WEIGHT)))
    return Prompt(tuple(parts), tuple(images), **flags)


def format(prompt: Prompt) -> str:
    r"""The text of which `parse` makes this prompt again, as long as it is not longer than `parse` reads.

    It has what differs from the defaults, each flag by its first name, and a backslash before what is no sign.
    """
    words = [write_path(path) for path in prompt.images]
    words += [f"{escape(p.text)}::{'' if p.weight == 1 else WEIGHT.write(p.weight)}" for p in prompt.parts]
    flags = [f"--{name} {kind.write(value)}".strip() for name, kind, value in given(prompt)]
    return " ".join([" ".join(words).removesuffix("::"), *flags]).strip()


def expand(text: str) -> list[str]:
    r"""The texts that choices in braces stand for: one of each group, in all combinations, the last changing fastest.

    Everything else stays as it is, escaped signs too. Raises PromptError for a brace without its partner and for more
    than MOST_JOBS texts.
    """
    opened: list[re.Match[str]] = []
    levels = [[[""]]]  # for the text and each open brace: its choices so far, and for each choice all it can become
    start = 0
    for sign in signs(text, "open", "close", "comma"):
        if sign.lastgroup == "comma" and not opened:
            continue
        levels[-1][-1] = [before + text[start : sign.start()] for before in levels[-1][-1]]
        start = sign.end()
        if sign.lastgroup == "open":
            opened.append(sign)
            levels.append([[""]])
        elif sign.lastgroup == "comma":
            levels[-1].append([""])
        elif not opened:
            raise misplaced(sign, "has no partner")
        else:
            opened.pop()
            choices = [words.strip() for choice in levels.pop() for words in choice]
            if len(levels[-1][-1]) * len(choices) > MOST_JOBS:
                raise PromptError(f"The choices make more than {MOST_JOBS} prompts; at most {MOST_JOBS} are made.")
            levels[-1][-1] = [before + words for before in levels[-1][-1] for words in choices]
    if opened:
        raise misplaced(opened[-1], "has no partner")
    return [before + text[start:] for before in levels[0][0]]


def misplaced(brace: re.Match[str], why: str) -> PromptError:
    position = brace.start() + 1
    return PromptError(f"The {brace[0]} at character {position} {why}; for the sign itself, write \\{brace[0]}.")


def jobs(text: str) -> list[Prompt]:
    r"""All that a text asks for: its choices written out, and each prompt as often as its --repeat says.

    Raises PromptError for more than MOST_JOBS, and as `expand` and `parse` do.
    """
    prompts = [parse(written) for written in expand(text)]
    total = sum(prompt.repeat for prompt in prompts)
    if total > MOST_JOBS:
        raise PromptError(f"Choices and --repeat together make {total} jobs; at most {MOST_JOBS} are made.")
    return [replace(prompt, repeat=1) for prompt in prompts for _ in range(prompt.repeat)]
