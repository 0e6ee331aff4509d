r"""The signs of the prompt language: what is a flag, a weight, a choice, an image, and what is only text.

Phones make one long dash of two short ones, and Chinese keyboards have signs of their own width: all are understood. A
backslash before a sign makes it text (`escape`).
"""

import re

from minidiffusion.errors import UserError

MOST_CHARACTERS = 6000

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


class PromptError(UserError):
    r"""A prompt that cannot be read. Its sentence names the place, what was given, and what is valid."""


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
