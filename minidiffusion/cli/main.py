r"""minidiffusion COMMAND ...: a text-to-image system in miniature.

  imagine "PROMPT"              four pictures of the prompt, which may be English or Chinese
  flags                         what a prompt may say besides words: --ar 3:2, --no fog, ...
  vary PICTURE                  pictures like this one
  upscale PICTURE               the picture with twice the pixels
  repaint PICTURE --mask MASK   a region drawn anew, the rest kept
  zoom PICTURE                  the camera steps back
  pan PICTURE left|right|...    the camera turns
  blend PICTURE PICTURE ...     pictures between two to five
  again PICTURE                 the same picture, from the record in its file
  describe PICTURE              what it shows, in words that would be a prompt
  shorten "PROMPT"              which words matter
  look PICTURE                  where did it look for each word?
  book STORY                    a picture book, from a text file
  icons "PROMPT"                a sheet of what the choices of a prompt make
  pattern "PROMPT"              a pattern without a seam
  app                           all of this in a browser
  train vae|clip|unet|...       train a network: on the picture book, emoji, or your own pictures
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

import minidiffusion

Options = TypeVar("Options")
MOST_PICTURES = 64


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
        CodebookTraining,
        DigitsTraining,
        JudgeTraining,
        TokensTraining,
        UNetTraining,
        UpscalerTraining,
        VAETraining,
        run,
    )

    @dataclass(frozen=True)
    class Train:
        r"""Train one network: first the vae and clip, in any order, then the unet, which builds on both.

        The upscaler builds on the vae. The codebook, which builds on clip, and the tokens, which build on both, are
        another road to pictures. The judge stands apart; it is needed to evaluate. So do the digits, a model small
        enough for exact likelihoods.
        """

        network: (
            Annotated[VAETraining, tyro.conf.subcommand("vae")]
            | Annotated[CLIPTraining, tyro.conf.subcommand("clip")]
            | Annotated[UNetTraining, tyro.conf.subcommand("unet")]
            | Annotated[UpscalerTraining, tyro.conf.subcommand("upscaler")]
            | Annotated[CodebookTraining, tyro.conf.subcommand("codebook")]
            | Annotated[TokensTraining, tyro.conf.subcommand("tokens")]
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
        case UpscalerTraining(), name if name != "picturebook":
            raise ValueError("The upscaler learns from the picture book, which can be drawn larger; --data has none.")
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
    from minidiffusion.evaluation.evaluate import EvaluateConfig, evaluate

    print(evaluate(parse(EvaluateConfig, "evaluate", arguments)).table())


def elsewhere(module: str, name: str) -> Callable[[Sequence[str]], None]:
    r"""The command of that name in another module, which is imported when it is needed."""
    return lambda arguments: getattr(import_module(f"minidiffusion.{module}"), name)(arguments)


DRAW = ("imagine", "vary", "upscale", "repaint", "zoom", "pan", "blend", "again", "flags")
COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    **{name: elsewhere("cli_draw", name) for name in DRAW},
    "train": train,
    "evaluate": evaluate,
    **{name: elsewhere("cli_clip", name) for name in ("clip", "search", "describe", "shorten")},
    **{name: elsewhere("cli_apply", name) for name in ("book", "icons", "pattern", "look")},
    "app": elsewhere("cli_app", "app"),
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
