r"""What the commands that draw share: options, and the way from a prompt to files."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from minidiffusion.cli.main import MOST_PICTURES, use_threads

if TYPE_CHECKING:
    from minidiffusion.images.record import Picture
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.pipelines.settings import SamplingSettings
    from minidiffusion.prompt.parser import Prompt
    from minidiffusion.pipelines.token_to_image import TokenPipeline

LARGEST_AT_ONCE = 128
SECONDS_IN_SILENCE = 10
PIXEL_FORMATS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


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
    what suits the weights: 2.5, 1.5 for tokens, or 7.5 for Stable Diffusion."""
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


Act = Callable[[Any, "Prompt", list[int], "SamplingSettings"], list["Picture"]]
"""What makes a batch of pictures: from a TextToImage or a Writer, a prompt, a seed for each, and settings."""


def apply(options: OfPicture, file: str, action: str, **settings: object) -> None:
    r"""Draw by an action on the picture of a file."""
    from minidiffusion.actions import registry as actions
    from minidiffusion.pipelines import inpainting as drawing
    from minidiffusion.prompt import parser as prompt

    picture = opened(file)
    do = getattr(actions, action)
    draw(
        options,
        prompt.format(drawing.read(None, picture)) if options.prompt is None else options.prompt,
        lambda model, prompt, seeds, how: do(model, picture, seeds, prompt=prompt, how=how, **settings),
    )


def opened(file: str) -> "Picture":
    r"""The picture of a file or address, with its record if it has one that is whole."""
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.images.record import Picture, Record
    from minidiffusion.images.png import read_record

    image = read_picture(file)
    try:
        return Picture(image, Record.from_dict(read_record(file)))
    except ValueError:
        return Picture(image, None)


def check_out(out: Path) -> None:
    if out.suffix.lower() in PIXEL_FORMATS:
        raise ValueError(f"--out is {out}; pictures are written as .png only, which keeps them exact.")


def draw(options: Drawing, text: str, act: Act, size: int | None = None, drafts: int | None = None) -> None:
    r"""A sheet for each prompt that the text makes, written and reported.

    drafts: how many for each picture, if pictures are written as tokens; None is diffusion.
    """
    if not 1 <= options.n <= MOST_PICTURES:
        raise ValueError(f"--n is {options.n}; valid are 1 to {MOST_PICTURES}.")
    check_out(options.out)
    from minidiffusion.prompt.parser import LIST, jobs, read

    no = read("--no", options.negative, LIST) if options.negative.strip() else ()
    prompts = [replace(prompt, no=(*prompt.no, *no)) for prompt in jobs(text)]  # before anything slow
    named = options.out.suffix.lower() == ".png" and not options.out.is_dir()
    if named and len(prompts) > 1:
        raise ValueError(f"--out is {options.out}, but the prompt makes {len(prompts)} sheets; give a folder.")

    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.images.png import sheet_name, write_pictures
    from minidiffusion.pipelines.token_to_image import TokenPipeline, sentence
    from minidiffusion.prompt.vocabulary import remarks

    if drafts is not None:
        for prompt in prompts:
            sentence(prompt)
    use_threads(options.threads)
    model = (TextToImage if drafts is None else TokenPipeline).load(options.weights)
    for remark in remarks(prompts, model, of_picturebook=options.weights == "picturebook"):
        print(remark, file=sys.stderr)
    for prompt in prompts:
        start = time.perf_counter()
        pictures = in_batches(options, model, prompt, act, size, drafts)
        seconds = time.perf_counter() - start
        if not prompt.parts and not prompt.images and pictures[0].record.action != "blend":
            print("The prompt is empty, so the pictures are of anything.", file=sys.stderr)
        sheet, *others = write_pictures(pictures, options.out if named else options.out / sheet_name(pictures))
        width, height = pictures[0].image.size
        print(f"{sheet}\n  {options.n} pictures of {width} x {height} in {seconds:.1f} s")
        print(f"  beside it: {', '.join(path.name for path in others)}")


def in_batches(
    options: Drawing,
    model: "TextToImage | TokenPipeline",
    prompt: "Prompt",
    act: Act,
    size: int | None,
    drafts: int | None,
) -> list["Picture"]:
    r"""The pictures, small ones all at once; of 512 x 512, each needs a gigabyte on its way through the networks.

    How long it still takes is shown on a terminal, and elsewhere if it is long.
    """
    from tqdm import tqdm

    from minidiffusion.pipelines.settings import SamplingSettings
    from minidiffusion.pipelines.inpainting import size_of
    from minidiffusion.pipelines.token_to_image import TokenPipeline

    if isinstance(model, TokenPipeline):
        steps, at_once = model.rows**2, drafts == 1
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

        how = SamplingSettings(options.steps, options.guidance, options.sampler, count)
        for batch in batches:
            pictures += act(model, prompt, batch, how)
    return pictures
