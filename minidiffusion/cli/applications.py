r"""`minidiffusion book`, `icons` and `pattern`: what is made of pictures (article 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from minidiffusion.errors import UserError

from .options import PromptText, Weights, check_out, parse

if TYPE_CHECKING:
    from minidiffusion.pipelines.settings import SamplingSettings


@dataclass(frozen=True, kw_only=True)
class Application(Weights):
    r"""Options of all three."""

    seed: int = 0
    """0 to 4294967295."""
    steps: int = 25
    """How many steps the sampler takes."""

    def settings(self) -> "SamplingSettings":
        r"""Raises UserError for what is out of range."""
        from minidiffusion.pipelines.settings import SamplingSettings, check_seeds

        check_seeds([self.seed])
        return SamplingSettings(self.steps)


@dataclass(frozen=True, kw_only=True)
class Book(Application):
    r"""A picture book: one HTML file that holds its pictures and loads nothing. A browser prints it."""

    story: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORY")]
    """A text file: "# TITLE", then a line for each page, TEXT or TEXT | PROMPT."""
    out: Path = Path("book.html")
    """Where to write it."""


def book(arguments: Sequence[str]) -> None:
    options = parse(Book, "book", arguments)
    try:
        story = options.story.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The story {options.story} cannot be read as text: {error}.") from error
    from minidiffusion.applications.book import book, illustrate, read_story
    from minidiffusion.checkpoint import write_atomically

    title, pages = read_story(story)
    settings = options.settings()
    pictures = illustrate(options.load(), pages, options.seed, settings)
    write_atomically(options.out, book(title, [page.text for page in pages], pictures).encode())
    print(f"{options.out}: {len(pages)} pages")


@dataclass(frozen=True, kw_only=True)
class Icons(Application):
    r"""A sheet of icons or logos, one for each choice: "a {red, blue} {house, boat}, paper cut" makes four."""

    prompt: PromptText
    """What to draw, with choices in braces."""
    out: Path = Path("icons.png")
    """The sheet; the single icons are written beside it."""


def icons(arguments: Sequence[str]) -> None:
    options = parse(Icons, "icons", arguments)
    check_out(options.out)
    from minidiffusion.prompt.parser import jobs

    prompts = jobs(options.prompt)  # before anything slow
    from minidiffusion.applications.icons import icons
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.images.png import to_png

    settings = options.settings()
    sheet, single = icons(options.load(), prompts, options.seed, settings)
    for i, picture in enumerate(single, start=1):
        write_atomically(beside(options.out, str(i)), to_png(picture.image, picture.record))
    write_atomically(options.out, to_png(sheet))
    print(f"{options.out}: {len(single)} icons")


@dataclass(frozen=True, kw_only=True)
class Pattern(Application):
    r"""A picture that fits itself on all sides, laid side by side."""

    prompt: PromptText
    """What to draw."""
    times: int = 3
    """How many times across and down, 1 to 16."""
    out: Path = Path("pattern.png")
    """The whole; the one tile is written beside it."""


def pattern(arguments: Sequence[str]) -> None:
    options = parse(Pattern, "pattern", arguments)
    check_out(options.out)
    from minidiffusion.prompt.parser import parse as parse_prompt

    prompt = parse_prompt(options.prompt)  # before anything slow
    from minidiffusion.applications.pattern import check_times, pattern
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.images.png import to_png

    check_times(options.times)
    settings = options.settings()
    wall, tile = pattern(options.load(), prompt, options.seed, options.times, settings)
    write_atomically(beside(options.out, "tile"), to_png(tile.image, tile.record))
    write_atomically(options.out, to_png(wall, tile.record))
    print(f"{options.out}: {wall.width} x {wall.height}")


def beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.stem}-{what}.png")
