r"""The commands that make something of pictures: `minidiffusion book`, `icons`, `pattern` and `look` (article 5)."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minidiffusion.cli.main import parse, quoted, use_threads


@dataclass(frozen=True, kw_only=True)
class Applied:
    r"""What these commands have in common."""

    seed: int = 0
    """0 to 4294967295."""
    steps: int = 25
    """How many steps the sampler takes."""
    weights: str = "picturebook"
    """The name of weights that are shipped, or a folder."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


@dataclass(frozen=True, kw_only=True)
class Book(Applied):
    r"""A picture book: one HTML file that holds its pictures and loads nothing. A browser prints it."""

    story: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORY")]
    """A text file: "# TITLE", then a line for each page, TEXT or TEXT | PROMPT."""
    out: Path = Path("book.html")
    """Where to write it."""


def book(arguments: Sequence[str]) -> None:
    options = parse(Book, "book", arguments)
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.applications import book as applications
    from minidiffusion.pipelines.settings import SamplingSettings

    try:
        story = options.story.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The story {options.story} cannot be read as text: {error}.") from error
    title, pages = applications.read_story(story)
    use_threads(options.threads)
    model = TextToImage.load(options.weights)
    pictures = applications.illustrate(model, pages, options.seed, SamplingSettings(options.steps))
    write_atomically(options.out, applications.book(title, [page.text for page in pages], pictures).encode())
    print(f"{options.out}: {len(pages)} pages")


@dataclass(frozen=True, kw_only=True)
class Icons(Applied):
    r"""A sheet of icons or logos, one for each choice: "a {red, blue} {house, boat}, paper cut" makes four."""

    prompt: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]
    """What to draw, with choices in braces."""
    out: Path = Path("icons.png")
    """The sheet; the single icons are written beside it."""


def icons(arguments: Sequence[str]) -> None:
    options = parse(Icons, "icons", arguments)
    check_png(options.out)
    from minidiffusion.prompt.parser import jobs

    jobs(options.prompt)  # what is wrong with it is known before anything is loaded
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.applications import book as applications
    from minidiffusion.pipelines.settings import SamplingSettings
    from minidiffusion.images.png import to_png

    use_threads(options.threads)
    sheet, single = applications.icons(
        TextToImage.load(options.weights), options.prompt, options.seed, SamplingSettings(options.steps)
    )
    for i, picture in enumerate(single, start=1):
        assert picture.record is not None
        path = options.out.with_name(f"{options.out.stem}-{i}.png")
        write_atomically(path, to_png(picture.image, picture.record.to_dict()))
    write_atomically(options.out, to_png(sheet, {}))
    print(f"{options.out}: {len(single)} icons")


@dataclass(frozen=True, kw_only=True)
class Pattern(Applied):
    r"""A picture that fits itself on all sides, laid side by side."""

    prompt: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]
    """What to draw."""
    times: int = 3
    """How many times across and down, 1 to 16."""
    out: Path = Path("pattern.png")
    """The wall; the one tile is written beside it."""


def pattern(arguments: Sequence[str]) -> None:
    options = parse(Pattern, "pattern", arguments)
    check_png(options.out)
    from minidiffusion.prompt.parser import parse as parse_prompt

    parse_prompt(options.prompt)
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.applications import book as applications
    from minidiffusion.pipelines.settings import SamplingSettings
    from minidiffusion.images.png import to_png

    use_threads(options.threads)
    model, how = TextToImage.load(options.weights), SamplingSettings(options.steps)
    wall, tile = applications.pattern(model, options.prompt, options.seed, options.times, how)
    assert tile.record is not None
    write_atomically(options.out.with_name(f"{options.out.stem}-tile.png"), to_png(tile.image, tile.record.to_dict()))
    write_atomically(options.out, to_png(wall, tile.record.to_dict()))
    print(f"{options.out}: {wall.width} x {wall.height}")


@dataclass(frozen=True, kw_only=True)
class Look:
    r"""Where did it look for each word? A sheet with the picture, and beside it, word by word, the same in fog that is
    gone where the network looked at the word."""

    picture: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PICTURE")]
    """A single picture that imagine made (not a sheet). It is drawn once more."""
    out: Path = Path("look.png")
    """Where to write the sheet."""
    weights: str = "picturebook"
    """The weights that made it."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


def look(arguments: Sequence[str]) -> None:
    options = parse(Look, "look", arguments)
    check_png(options.out)
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.images.record import Picture, Record
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.images.png import read_record
    from minidiffusion.pipelines.cross_attention_maps import cross_attention_maps
    from minidiffusion.viz.word_maps import word_maps

    record = Record.from_dict(read_record(options.picture))
    picture = Picture(read_picture(options.picture), record)
    use_threads(options.threads)
    maps = cross_attention_maps(TextToImage.load(options.weights), picture)
    buffer = io.BytesIO()
    word_maps(picture.image, maps).savefig(buffer, format="png", dpi=150)
    write_atomically(options.out, buffer.getvalue())
    for i, (word, weights) in enumerate(maps, start=1):
        print(f"{i:4}  {weights.max():.3f}  {quoted(word)[1:-1]}")
    print(options.out)


def check_png(out: Path) -> None:
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out is {out}; pictures are written as .png only, which keeps them exact.")
