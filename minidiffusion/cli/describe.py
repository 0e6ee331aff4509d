r"""`minidiffusion describe` and `shorten`: a prompt for a picture, and which words of a prompt matter, with CLIP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .options import PictureFile, PromptText, Weights, parse


@dataclass(frozen=True, kw_only=True)
class Describe(Weights):
    r"""Put a picture into words, with CLIP: up to three captions that would be prompts, the best first."""

    picture: PictureFile
    """A file or an address; made here, or from elsewhere."""
    language: Literal["en", "zh"] = "en"
    """Of the words."""


def describe(arguments: Sequence[str]) -> None:
    options = parse(Describe, "describe", arguments)
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.prompt.describe import describe

    image = read_picture(options.picture)
    print("\n".join(describe(options.load(), image, options.language)))


@dataclass(frozen=True, kw_only=True)
class Shorten(Weights):
    r"""Which words of a prompt matter: how far CLIP's vector of it turns without each."""

    prompt: PromptText
    """Words with spaces between."""


def shorten(arguments: Sequence[str]) -> None:
    options = parse(Shorten, "shorten", arguments)
    from minidiffusion.errors import quoted
    from minidiffusion.prompt.describe import shorten

    words = shorten(options.load(), options.prompt)
    most = max((weight for _, weight in words), default=0.0)
    for word, weight in words:
        bar = "#" * round(20 * weight / most) if most > 0 else ""
        print(f"{weight:6.3f}  {bar:20}  {quoted(word)[1:-1]}")
