r"""The commands that draw: Midjourney's, in miniature."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeGuard

import tyro

from minidiffusion.cli import MOST_PICTURES, parse, quoted, use_threads

if TYPE_CHECKING:
    from minidiffusion.imagine import Picture, TextToImage
    from minidiffusion.imagine.drawing import How
    from minidiffusion.imagine.prompt import Prompt
    from minidiffusion.imagine.with_tokens import Writer

LARGEST_AT_ONCE = 128
SECONDS_IN_SILENCE = 10
PIXEL_FORMATS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")

PictureFile = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PICTURE")]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    r"""What all commands that draw have in common."""

    seed: int | None = None
    """The first picture is that of this seed, the next that of the following one; 0 to 4294967295. By default what
    --seed in the prompt says, or 0."""
    n: int = 4
    """How many pictures, 1 to 64."""
    steps: int = 25
    """How many steps the sampler takes; more is slower and, up to a point, better."""
    guidance: float | None = None
    """How strictly to follow the prompt, 0 to 100; 0 ignores it, 1 adds nothing to what the network learnt. None is
    what suits the weights: 2.5, 3 for tokens, or 7.5 for Stable Diffusion."""
    negative: Annotated[str, tyro.conf.arg(name="no")] = ""
    """Words to stay away from, with commas between; the same as --no in the prompt."""
    sampler: str = "dpm++"
    """dpm++, ddim, plms, or ddpm (which needs hundreds of steps)."""
    out: Path = Path("pictures")
    """A folder, where the files are named after the prompt; or FILE.png for the grid, the others beside it."""
    weights: str = "picturebook"
    """The name of weights that are shipped, or a folder; or Stable Diffusion 1.5, as a folder of diffusers or as one
    .safetensors file."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


@dataclass(frozen=True, kw_only=True)
class OfPicture(Drawing):
    r"""What begins with a picture."""

    prompt: str | None = None
    """What to draw; by default what the picture was made of, if it is one of ours."""


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

    def act(model: "TextToImage", prompt: "Prompt", seeds: list[int], how: "How") -> list["Picture"]:
        from minidiffusion.clip.read_picture import read_picture
        from minidiffusion.imagine import Picture, actions

        size = None if options.size is None else (options.size, options.size)
        looked = [Picture(read_picture(path), None) for path in (*prompt.images, *filter(None, [prompt.sref]))]
        return actions.imagine(model, prompt, seeds, how, size, looked)

    draw(options, options.prompt, act, options.size)


def write(options: Imagine) -> None:
    r"""`imagine --model tokens`."""
    from minidiffusion.imagine import with_tokens

    settings = (options.guidance, options.temperature, options.top_k, options.top_p, options.drafts)
    with_tokens.Writing(*settings)  # refused before anything slow
    begin = None if options.begin is None else opened(options.begin)

    def act(model: "Writer", prompt: "Prompt", seeds: list[int], how: Any) -> list["Picture"]:
        return with_tokens.write(model, prompt, seeds, with_tokens.Writing(*settings, how.on_step), begin, options.rows)

    draw(options, options.prompt, act)


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
    from minidiffusion.clip.read_picture import read_picture

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
    from minidiffusion.imagine import actions

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
    from minidiffusion.clip.read_picture import read_picture
    from minidiffusion.imagine import Record, TextToImage, actions
    from minidiffusion.imagine.grid import read_record, to_png
    from minidiffusion.imagine.with_tokens import Writer

    record = Record.from_dict(read_record(options.picture))
    brought = [read_picture(path) for path in options.source]
    use_threads(options.threads)
    model = (Writer if record.action == "write" else TextToImage).load(options.weights)
    image, record = actions.again(model, record, brought)
    assert record is not None
    write_atomically(options.out, to_png(image, record.to_dict()))
    print(options.out)


def flags(arguments: Sequence[str]) -> None:
    from minidiffusion.imagine.prompt import flags_help

    print(flags_help())


# ------------------------------------------------------------------------------------------------------ what they share

Act = Callable[[Any, "Prompt", list[int], "How"], list["Picture"]]
"""What makes a batch of pictures: from a TextToImage or a Writer, a prompt, a seed for each, and settings."""


def writes(options: Drawing) -> TypeGuard[Imagine]:
    return isinstance(options, Imagine) and options.model == "tokens"


def apply(options: OfPicture, file: str, action: str, **settings: object) -> None:
    r"""Draw by an action on the picture of a file."""
    from minidiffusion.imagine import actions, drawing, prompt

    picture = opened(file)
    do = getattr(actions, action)
    draw(
        options,
        prompt.format(drawing.read(None, picture)) if options.prompt is None else options.prompt,
        lambda model, prompt, seeds, how: do(model, picture, seeds, prompt=prompt, how=how, **settings),
    )


def opened(file: str) -> "Picture":
    r"""The picture of a file or address, with its record if it has one that is whole."""
    from minidiffusion.clip.read_picture import read_picture
    from minidiffusion.imagine import Picture, Record
    from minidiffusion.imagine.grid import read_record

    image = read_picture(file)
    try:
        return Picture(image, Record.from_dict(read_record(file)))
    except ValueError:
        return Picture(image, None)


def check_out(out: Path) -> None:
    if out.suffix.lower() in PIXEL_FORMATS:
        raise ValueError(f"--out is {out}; pictures are written as .png only, which keeps them exact.")


def draw(options: Drawing, text: str, act: Act, size: int | None = None) -> None:
    r"""A sheet for each prompt that the text makes, written and reported."""
    if not 1 <= options.n <= MOST_PICTURES:
        raise ValueError(f"--n is {options.n}; valid are 1 to {MOST_PICTURES}.")
    check_out(options.out)
    from minidiffusion.imagine.prompt import LIST, jobs, read

    no = read("--no", options.negative, LIST) if options.negative.strip() else ()
    prompts = [replace(prompt, no=(*prompt.no, *no)) for prompt in jobs(text)]  # before anything slow
    named = options.out.suffix.lower() == ".png" and not options.out.is_dir()
    if named and len(prompts) > 1:
        raise ValueError(f"--out is {options.out}, but the prompt makes {len(prompts)} sheets; give a folder.")

    from minidiffusion.imagine import TextToImage
    from minidiffusion.imagine.grid import sheet_name, write_pictures
    from minidiffusion.imagine.with_tokens import Writer, sentence

    if writes(options):
        for prompt in prompts:
            sentence(prompt)
    use_threads(options.threads)
    model = (Writer if writes(options) else TextToImage).load(options.weights)
    texts = [text for prompt in prompts for text in (*(part.text for part in prompt.parts), *prompt.no)]
    for text in dict.fromkeys(texts):
        for remark in remarks(text, model, of_picturebook=options.weights == "picturebook"):
            print(remark, file=sys.stderr)
    for prompt in prompts:
        start = time.perf_counter()
        pictures = in_batches(options, model, prompt, act, size)
        seconds = time.perf_counter() - start
        if not prompt.parts and not prompt.images and pictures[0].record.action != "blend":
            print("The prompt is empty, so the pictures are of anything.", file=sys.stderr)
        sheet, *others = write_pictures(pictures, options.out if named else options.out / sheet_name(pictures))
        width, height = pictures[0].image.size
        print(f"{sheet}\n  {options.n} pictures of {width} x {height} in {seconds:.1f} s")
        print(f"  beside it: {', '.join(path.name for path in others)}")


def in_batches(
    options: Drawing, model: "TextToImage | Writer", prompt: "Prompt", act: Act, size: int | None
) -> list["Picture"]:
    r"""The pictures, small ones all at once; of 512 x 512, each needs a gigabyte on its way through the networks.

    How long it still takes is shown on a terminal, and elsewhere if it is long.
    """
    from tqdm import tqdm

    from minidiffusion.imagine.drawing import How, size_of
    from minidiffusion.imagine.with_tokens import Writer

    if isinstance(model, Writer):
        steps, at_once = model.rows**2, writes(options) and options.drafts == 1
    else:
        steps, at_once = options.steps * prompt.quality, (size or max(size_of(model, prompt.ar))) <= LARGEST_AT_ONCE
    first = (prompt.seed or 0) if options.seed is None else options.seed
    seeds = [first, *((first + i) % 2**32 for i in range(1, options.n))]  # the first is checked as it is
    batches = [seeds] if at_once else [[seed] for seed in seeds]
    wait, pause = (0, 0.1) if sys.stderr.isatty() else (SECONDS_IN_SILENCE, SECONDS_IN_SILENCE)
    pictures = []
    with tqdm(total=steps * len(batches), unit="step", leave=False, delay=wait, mininterval=pause) as bar:

        def count(step: object) -> None:
            bar.update()

        how = How(options.steps, options.guidance, options.sampler, count)
        for batch in batches:
            pictures += act(model, prompt, batch, how)
    return pictures


def remarks(text: str, model: "TextToImage | Writer", of_picturebook: bool) -> Iterator[str]:
    r"""What the model will make nothing of: words that it does not know, and what is too long to be read."""
    from minidiffusion.imagine.words import unknown_words, words_of
    from minidiffusion.picturebook.scene import SUBJECTS

    if lost := model.tokenizer.dropped(text, model.context_length):
        yield f"I read only the beginning of a text as long as this; lost is: {quoted(lost)}."
    if model.clip is None:  # Stable Diffusion, whose words are those of the web
        return
    unknown = unknown_words(text, None if of_picturebook else words_of(model.tokenizer))
    for word, nearest in unknown.items():
        if nearest:
            yield f"I do not know {quoted(word)}; the nearest words that I know: {', '.join(nearest)}."
    strange = ", ".join(quoted(word) for word, nearest in unknown.items() if not nearest)
    if strange:
        yield f"I do not know {strange}" + (f"; what I can draw: {', '.join(SUBJECTS)}." if of_picturebook else ".")
