r"""The commands that draw: Midjourney's, in miniature."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from minidiffusion.cli.main import parse, use_threads
from minidiffusion.cli.drawing import Drawing, OfPicture, apply, check_out, draw, opened

if TYPE_CHECKING:
    from minidiffusion.images.record import Picture
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.pipelines.settings import SamplingSettings
    from minidiffusion.prompt.parser import Prompt
    from minidiffusion.pipelines.token_to_image import TokenPipeline

PictureFile = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PICTURE")]


@dataclass(frozen=True, kw_only=True)
class Imagine(Drawing):
    r"""Make pictures of a prompt: a grid to look at, the single pictures, and a record of how they were made."""

    prompt: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]
    """What to draw, in quotes: "a red house by the sea at night, watercolor". It may have weights, choices and
    flags: "a {red, blue} house::2 fog::-0.5 --ar 3:2 --chaos 30"; `minidiffusion flags` lists them."""
    size: int | None = None
    """Width and height in pixels. None is what the weights were trained on, 64, or 512 for Stable Diffusion; --ar in
    the prompt makes one of them longer."""
    model: Literal["diffusion", "tokens"] = "diffusion"
    """diffusion; or tokens: a transformer writes the picture, row by row. What follows is for tokens only, --steps,
    --sampler and --size for diffusion only; of the flags of a prompt, tokens know --no, --chaos, --seed and --repeat.
    """
    temperature: float = 1.0
    """Above 0; below 1 likely tokens become likelier still."""
    top_k: int | None = None
    """Only the so many likeliest tokens are drawn; None is all."""
    top_p: float = 0.95
    """Only the likeliest tokens that together have this probability are drawn; 1 is all."""
    drafts: int = 1
    """1 to 64: so many are written for each picture, and CLIP takes the best."""
    begin: str | None = None
    """A picture, as a file or an address, whose first rows are kept; the rest is written."""
    rows: int = 4
    """How many of its rows of tokens, each 8 pixels high, are kept."""


TOKENS_ONLY = ("temperature", "top_k", "top_p", "drafts", "begin", "rows")
DIFFUSION_ONLY = ("steps", "sampler", "size")


def imagine(arguments: Sequence[str]) -> None:
    options = parse(Imagine, "imagine", arguments)
    foreign = DIFFUSION_ONLY if options.model == "tokens" else TOKENS_ONLY
    for each in fields(Imagine):
        if each.name in foreign and getattr(options, each.name) != each.default:
            raise ValueError(f"--{each.name.replace('_', '-')} says nothing to --model {options.model}.")
    if options.model == "tokens":
        return write(options)

    def act(model: "TextToImage", prompt: "Prompt", seeds: list[int], how: "SamplingSettings") -> list["Picture"]:
        from minidiffusion.images.read_picture import read_picture
        from minidiffusion.images.record import Picture
        from minidiffusion.actions import registry as actions

        size = None if options.size is None else (options.size, options.size)
        looked = [Picture(read_picture(path), None) for path in (*prompt.images, *filter(None, [prompt.sref]))]
        return actions.imagine(model, prompt, seeds, how, size, looked)

    draw(options, options.prompt, act, options.size)


def write(options: Imagine) -> None:
    r"""`imagine --model tokens`."""
    from minidiffusion.pipelines import token_to_image as with_tokens

    settings = (options.guidance, options.temperature, options.top_k, options.top_p, options.drafts)
    with_tokens.Writing(*settings)  # refused before anything slow
    if options.begin is None and options.rows != Imagine.rows:
        raise ValueError("--rows says nothing without --begin.")
    begin = None if options.begin is None else opened(options.begin)

    def act(model: "TokenPipeline", prompt: "Prompt", seeds: list[int], how: Any) -> list["Picture"]:
        return with_tokens.write(model, prompt, seeds, with_tokens.Writing(*settings, how.on_step), begin, options.rows)

    draw(options, options.prompt, act, drafts=options.drafts)


@dataclass(frozen=True, kw_only=True)
class Vary(OfPicture):
    r"""Pictures like this one; with --prompt, the same with another subject, place or style ("remix")."""

    picture: PictureFile
    """A file or an address, ours or not."""
    strength: float = 0.7
    """From 0 (only what the autoencoder makes of it) to 1 (nothing of it is left); "subtle" is about 0.35."""


def vary(arguments: Sequence[str]) -> None:
    options = parse(Vary, "vary", arguments)
    apply(options, options.picture, "vary", strength=options.strength)


@dataclass(frozen=True, kw_only=True)
class Repaint(OfPicture):
    r"""Draw a region anew and keep every bit of the rest ("vary region")."""

    picture: PictureFile
    """A file or an address, ours or not."""
    mask: str
    """A picture of the same size: white where it is to be drawn anew, black where it is kept."""


def repaint(arguments: Sequence[str]) -> None:
    options = parse(Repaint, "repaint", arguments)
    from minidiffusion.images.read_picture import read_picture

    grey = read_picture(options.mask).convert("L")
    apply(options, options.picture, "repaint", mask=grey.point([255 * (value > 127) for value in range(256)], "1"))


@dataclass(frozen=True, kw_only=True)
class Zoom(OfPicture):
    r"""Step back: the picture shrinks, and what lies around it is drawn."""

    picture: PictureFile
    """A file or an address, ours or not."""
    factor: float = 1.5
    """How far, 1.1 to 4."""


def zoom(arguments: Sequence[str]) -> None:
    options = parse(Zoom, "zoom", arguments)
    apply(options, options.picture, "zoom", factor=options.factor)


@dataclass(frozen=True, kw_only=True)
class Pan(OfPicture):
    r"""Turn the camera: the picture grows by half to one side."""

    picture: PictureFile
    """A file or an address, ours or not."""
    direction: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DIRECTION")]
    """left, right, up or down."""


def pan(arguments: Sequence[str]) -> None:
    options = parse(Pan, "pan", arguments)
    apply(options, options.picture, "pan", direction=options.direction)


@dataclass(frozen=True, kw_only=True)
class Upscale(OfPicture):
    r"""A picture with twice the pixels, by a network that learnt what belongs there."""

    picture: PictureFile
    """A file or an address, ours or not."""
    strength: float = 0.0
    """How far it is drawn anew before that, 0 ("subtle") to 1; "creative" is about 0.2."""
    n: int = 1
    """How many, 1 to 64; more than one makes sense with a strength."""


def upscale(arguments: Sequence[str]) -> None:
    options = parse(Upscale, "upscale", arguments)
    apply(options, options.picture, "upscale", strength=options.strength)


@dataclass(frozen=True, kw_only=True)
class Blend(Drawing):
    r"""New pictures between two to five."""

    pictures: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PICTURE PICTURE ...")]
    """Files or addresses, ours or not."""
    prompt: str = ""
    """What else should be seen."""


def blend(arguments: Sequence[str]) -> None:
    options = parse(Blend, "blend", arguments)
    from minidiffusion.actions import registry as actions

    pictures = [opened(path) for path in options.pictures]
    draw(options, options.prompt, lambda model, prompt, seeds, how: actions.blend(model, pictures, seeds, prompt, how))


@dataclass(frozen=True, kw_only=True)
class Again:
    r"""Make a picture again, from the record in its file."""

    picture: PictureFile
    """A single picture of ours (not a sheet)."""
    source: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A picture from elsewhere that it was made from; once for each."""
    out: Path = Path("again.png")
    """Where to write it."""
    weights: str = "picturebook"
    """The weights that made it."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


def again(arguments: Sequence[str]) -> None:
    options = parse(Again, "again", arguments)
    check_out(options.out)
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.images.record import Record
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.actions import registry as actions
    from minidiffusion.images.png import read_record, to_png
    from minidiffusion.images.record import lineage
    from minidiffusion.pipelines.token_to_image import TokenPipeline

    record = Record.from_dict(read_record(options.picture))
    brought = [read_picture(path) for path in options.source]
    use_threads(options.threads)
    written = {each.action == "write" for each in lineage(record)}  # by which of the two models, or by both
    models = [(TokenPipeline if each else TextToImage).load(options.weights) for each in written]
    image, record = actions.again(models[0], record, brought, models[-1])
    assert record is not None
    write_atomically(options.out, to_png(image, record.to_dict()))
    print(options.out)


def flags(arguments: Sequence[str]) -> None:
    from minidiffusion.prompt.parser import flags_help

    print(flags_help())
