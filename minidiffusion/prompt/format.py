r"""From a `Prompt` back to text, in one canonical form, without what is default.

>>> from minidiffusion.prompt.parser import parse
>>> format(parse("a red house by the sea::2 fog::-.5 --aspect 3:2 --no red, rain --c 30 --stylize 100"))
'a red house by the sea::2 fog::-0.5 --ar 3:2 --chaos 30 --no red, rain'
"""

from dataclasses import replace

from .flags import WEIGHT, Prompt, given, write_path
from .lexer import escape


def format(prompt: Prompt) -> str:
    r"""The text of which `parse` makes this prompt again, as long as it is not longer than `parse` reads.

    It has what differs from the defaults, each flag by its first name, and a backslash before what is no sign.
    """
    words = [write_path(path) for path in prompt.images]
    words += [f"{escape(p.text)}::{'' if p.weight == 1 else WEIGHT.write(p.weight)}" for p in prompt.parts]
    flags = [f"--{name} {kind.write(value)}".strip() for name, kind, value in given(prompt)]
    return " ".join([" ".join(words).removesuffix("::"), *flags]).strip()


def record_text(prompt: Prompt) -> str:
    r"""The prompt as a record has it: each picture has its own seed, and --repeat made a prompt of each repetition."""
    return format(replace(prompt, seed=None, repeat=1))
