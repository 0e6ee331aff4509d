r"""The parser of the prompt language, Midjourney's in miniature (article 1.2): from text to the value `Prompt`.

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
>>> parse('"my cat.png" a house').images
('my cat.png',)
>>> expand(r"a {red, {dark, light} blue} house")
['a red house', 'a dark blue house', 'a light blue house']

A flag begins after a space, after Chinese, or at the start: "sci-fi", "well--known" and "-5" are words. Phones, which
make one long dash of two short ones, and Chinese keyboards are understood.

>>> prompt = parse("海边的红色房子：：2 雾——ar 3：2 —no 红色、雨")
>>> prompt.parts[0], prompt.ar, prompt.no
(Part(text='海边的红色房子', weight=2.0), (3, 2), ('红色', '雨'))

No file is opened here and PyTorch is not imported, so a mistake is found before anything heavy begins.
"""

import re
import reprlib
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from minidiffusion.errors import UserError

from .flags import FLAGS, MOST_JOBS, TEXT, WEIGHT, Part, Prompt, read, read_path
from .lexer import IMAGE, PromptError, cut, escape, signs


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
            valid = f"did you mean --{' or --'.join(near)}?" if near else f"the flags: --{', --'.join(FLAGS)}."
            raise PromptError(f"There is no flag --{name}; {valid} For the dashes themselves, write \\{sign[0]}.")
        name, kind = FLAGS[name].name, FLAGS[name].metadata["kind"]
        if name in flags:
            raise PromptError(f"--{name} is given twice.")
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
                raise PromptError(f"The choices make more than {MOST_JOBS} prompts; at most {MOST_JOBS} are allowed.")
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
        raise PromptError(f"Choices and --repeat together make {total} jobs; at most {MOST_JOBS} are allowed.")
    return [replace(prompt, repeat=1) for prompt in prompts for _ in range(prompt.repeat)]


def plain(text: str) -> Prompt:
    r"""The prompt of words that mean themselves: no sign in them is read as a flag, a weight or a choice."""
    return parse(escape(text))


def parse_each(prompts: str | Prompt | Sequence[str | Prompt], n: int) -> list[Prompt]:
    r"""The parsed prompts of n pictures: one for all, or one for each. Raises UserError for another number of them."""
    if isinstance(prompts, str | Prompt):
        prompts = [parse(prompts) if isinstance(prompts, str) else prompts] * max(n, 1)
    if not n or len(prompts) != n:
        raise UserError(f"Each picture needs a prompt and a seed, got {len(prompts)} prompts and {n} seeds.")
    return [parse(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
