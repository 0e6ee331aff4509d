r"""minidiffusion COMMAND ...: a text-to-image system in miniature.

  imagine "PROMPT"              four pictures of the prompt, which may be English or Chinese
  flags                         what a prompt may say besides words: --ar 3:2, --no fog, ...
  train vae|clip|unet|judge     train a network, on the picture book or on your own pictures
  evaluate                      examine a model: does it draw what it is told?
  clip IMAGE --label "..."      which sentence fits a picture?
  search "WORDS" FOLDER         pictures by words

minidiffusion COMMAND --help explains a command. With --debug (or MINIDIFFUSION_DEBUG=1) an error shows where it arose.
"""

# PyTorch alone takes a second or more to import, so the commands import what they need once their options are parsed.

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

import minidiffusion

if TYPE_CHECKING:
    from minidiffusion.diffusion.sampler import Step
    from minidiffusion.imagine import Picture, TextToImage
    from minidiffusion.imagine.prompt import Prompt

Options = TypeVar("Options")
MOST_PICTURES = 64
LARGEST_AT_ONCE = 128
SECONDS_IN_SILENCE = 10


@dataclass(frozen=True)
class Imagine:
    r"""Make pictures of a prompt: a grid to look at, the single pictures, and a record of how they were made."""

    prompt: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]
    """What to draw, in quotes: "a red house by the sea at night, watercolor". It may have weights, choices and
    flags: "a {red, blue} house::2 fog::-0.5 --ar 3:2 --chaos 30"; `minidiffusion flags` lists them."""
    seed: int | None = None
    """The first picture is that of this seed, the next that of the following one; 0 to 4294967295. By default what
    --seed in the prompt says, or 0."""
    n: int = 4
    """How many pictures, 1 to 64."""
    steps: int = 25
    """How many steps the sampler takes; more is slower and, up to a point, better."""
    guidance: float | None = None
    """How strictly to follow the prompt, 0 to 100; 0 ignores it, 1 adds nothing to what the network learnt. None is
    what suits the weights: 2.5, or 7.5 for Stable Diffusion."""
    negative: Annotated[str, tyro.conf.arg(name="no")] = ""
    """Words to stay away from, with commas between; the same as --no in the prompt."""
    sampler: str = "dpm++"
    """dpm++, ddim, plms, or ddpm (which needs hundreds of steps)."""
    size: int | None = None
    """Width and height in pixels. None is what the weights were trained on, 64, or 512 for Stable Diffusion; --ar in
    the prompt makes one of them longer."""
    out: Path = Path("pictures")
    """A folder, where the files are named after the prompt; or FILE.png for the grid, the others beside it."""
    weights: str = "picturebook"
    """The name of weights that are shipped, or a folder; or Stable Diffusion 1.5, as a folder of diffusers or as one
    .safetensors file."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


def imagine(arguments: Sequence[str]) -> None:
    options = parse(Imagine, "imagine", arguments)
    if not 1 <= options.n <= MOST_PICTURES:
        raise ValueError(f"--n is {options.n}; valid are 1 to {MOST_PICTURES}.")
    if options.out.suffix.lower() in (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"):
        raise ValueError(f"--out is {options.out}; pictures are written as .png only, which keeps them exact.")

    from minidiffusion.imagine.prompt import LIST, jobs, read

    no = read("--no", options.negative, LIST) if options.negative.strip() else ()
    prompts = [replace(prompt, no=(*prompt.no, *no)) for prompt in jobs(options.prompt)]  # before anything slow
    named = options.out.suffix.lower() == ".png" and not options.out.is_dir()
    if named and len(prompts) > 1:
        raise ValueError(f"--out is {options.out}, but the prompt makes {len(prompts)} sheets; give a folder.")

    from minidiffusion.imagine import TextToImage
    from minidiffusion.imagine.grid import sheet_name, write_pictures

    use_threads(options.threads)
    model = TextToImage.load(options.weights)
    texts = [text for prompt in prompts for text in (*(part.text for part in prompt.parts), *prompt.no)]
    for text in dict.fromkeys(texts):
        for remark in remarks(text, model, of_picturebook=options.weights == "picturebook"):
            print(remark, file=sys.stderr)
    for prompt in prompts:
        if not prompt.parts and not prompt.images:
            print("The prompt is empty, so the pictures are of anything.", file=sys.stderr)
        start = time.perf_counter()
        pictures = draw(model, prompt, options)
        seconds = time.perf_counter() - start
        sheet, *others = write_pictures(pictures, options.out if named else options.out / sheet_name(pictures))
        width, height = pictures[0].image.size
        print(f"{sheet}\n  {options.n} pictures of {width} x {height} in {seconds:.1f} s")
        print(f"  beside it: {', '.join(path.name for path in others)}")


def draw(model: "TextToImage", prompt: "Prompt", options: Imagine) -> list["Picture"]:
    r"""The pictures, small ones all at once; of 512 x 512, each needs a gigabyte on its way through the networks.

    How long it still takes is shown on a terminal, and elsewhere if it is long.
    """
    from tqdm import tqdm

    from minidiffusion.clip.read_picture import read_picture
    from minidiffusion.imagine.actions import imagine
    from minidiffusion.imagine.drawing import How, size_of
    from minidiffusion.imagine.record import Picture

    first = (prompt.seed or 0) if options.seed is None else options.seed
    seeds = [first, *((first + i) % 2**32 for i in range(1, options.n))]  # the first is checked as it is
    size = size_of(model, prompt.ar) if options.size is None else (options.size, options.size)
    batches = [seeds] if max(size) <= LARGEST_AT_ONCE else [[seed] for seed in seeds]
    looked = [Picture(read_picture(path), None) for path in (*prompt.images, *filter(None, [prompt.sref]))]
    wait, pause = (0, 0.1) if sys.stderr.isatty() else (SECONDS_IN_SILENCE, SECONDS_IN_SILENCE)
    pictures = []
    steps = options.steps * prompt.quality * len(batches)
    with tqdm(total=steps, unit="step", leave=False, delay=wait, mininterval=pause) as bar:

        def count(step: "Step") -> None:
            bar.update()

        how = How(options.steps, options.guidance, options.sampler, count)
        for batch in batches:
            pictures += imagine(model, prompt, batch, how, size, looked)
    return pictures


def remarks(text: str, model: "TextToImage", of_picturebook: bool) -> Iterator[str]:
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


def quoted(text: str) -> str:
    r"""In quotes, without control characters, and not longer than a line."""
    return json.dumps(text if len(text) <= 60 else text[:60] + "...", ensure_ascii=False)


def train(arguments: Sequence[str]) -> None:
    from minidiffusion.data.digits import digits
    from minidiffusion.data.emoji import emoji
    from minidiffusion.data.folder import PictureFolder
    from minidiffusion.picturebook.dataset import PictureBook
    from minidiffusion.training.recipes import (
        CLIPTraining,
        DigitsTraining,
        JudgeTraining,
        UNetTraining,
        VAETraining,
        run,
    )

    @dataclass(frozen=True)
    class Train:
        r"""Train one network: first the vae and clip, in any order, then the unet, which builds on both.

        The judge stands apart; it is needed to evaluate. So do the digits, a model small enough for exact likelihoods.
        """

        network: (
            Annotated[VAETraining, tyro.conf.subcommand("vae")]
            | Annotated[CLIPTraining, tyro.conf.subcommand("clip")]
            | Annotated[UNetTraining, tyro.conf.subcommand("unet")]
            | Annotated[JudgeTraining, tyro.conf.subcommand("judge")]
            | Annotated[DigitsTraining, tyro.conf.subcommand("digits")]
        )
        out: Path = Path("weights")
        """The folder of the weights. Finished networks are read from it and written to it."""
        data: str = "picturebook"
        """picturebook; emoji, of which one in ten stays unseen for the test; or a folder with pictures and captions."""
        pictures: int = 60_000
        """How many pages of the picture book to draw."""
        resume: bool = False
        """Go on where an earlier training stopped."""
        threads: int | None = None
        """How many threads of the processor to use; None leaves it to PyTorch."""

    options = parse(Train, "train", arguments)
    use_threads(options.threads)
    match options.network, options.data:
        case JudgeTraining(), name if name != "picturebook":
            raise ValueError("The judge learns from the attributes of the picture book; --data has none.")
        case DigitsTraining(), name if name != "picturebook":
            raise ValueError("The digits are trained on the digits that come with minidiffusion; --data has none.")
        case DigitsTraining(), _:
            data, _ = digits()
        case _, "picturebook":
            data = PictureBook(options.pictures)
        case _, "emoji":  # each person once, in yellow, or most pictures of a batch would be people
            data = emoji(skin_tones=False, languages=("en", "zh")).split(held_out=False)
        case _, folder:  # ./emoji, if it has one of these names
            data = PictureFolder(folder)
    run(options.network, data, options.out, options.resume)
    print(f"The weights are in {options.out}.")


def evaluate(arguments: Sequence[str]) -> None:
    from minidiffusion.imagine.evaluate import EvaluateConfig, evaluate

    print(evaluate(parse(EvaluateConfig, "evaluate", arguments)).table())


def flags(arguments: Sequence[str]) -> None:
    from minidiffusion.imagine.prompt import flags_help

    print(flags_help())


def clip(arguments: Sequence[str]) -> None:
    from minidiffusion import cli_clip

    cli_clip.clip(arguments)


def search(arguments: Sequence[str]) -> None:
    from minidiffusion import cli_clip

    cli_clip.search(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "imagine": imagine,
    "flags": flags,
    "train": train,
    "evaluate": evaluate,
    "clip": clip,
    "search": search,
}


def parse(options: type[Options], command: str, arguments: Sequence[str]) -> Options:
    r"""The options of a command; on a mistake, tyro says which and leaves with status 2."""
    config = (tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(options, args=arguments, prog=f"minidiffusion {command}", config=config)


def use_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        if not 1 <= threads <= 1024:
            raise ValueError(f"--threads is {threads}; valid are 1 to 1024.")
        torch.set_num_threads(threads)


def expected() -> tuple[type[Exception], ...]:
    r"""The failures that are not bugs: their sentence is all that the user needs."""
    from minidiffusion.checkpoint import CheckpointError

    return ValueError, CheckpointError, OSError, FloatingPointError


def main(arguments: Sequence[str] | None = None) -> int:
    r"""Run a command. Returns the exit status: 0, 2 for bad input, 130 for Ctrl-C, 1 for any other expected failure."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or os.environ.get("MINIDIFFUSION_DEBUG", "0") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show Chinese is no reason to fail
    try:
        match arguments:
            case ["-h" | "--help", *_]:
                print((__doc__ or "").strip())
            case ["--version", *_]:
                print(minidiffusion.__version__)
            case [command, *rest] if command in COMMANDS:
                COMMANDS[command](rest)
            case _:
                given = f"{quoted(arguments[0])} is not a command" if arguments else "A command is missing"
                raise ValueError(f"{given}; valid are: {', '.join(COMMANDS)}.")
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except expected() as error:
        if debug:
            raise
        print("minidiffusion: " + " ".join(str(error).split()), file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
