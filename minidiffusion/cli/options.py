r"""What all commands share: how options are parsed, threads, weights, and where pictures may be written."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from minidiffusion.errors import UserError

MAX_PICTURES = 64
MAX_THREADS = 1024
PIXEL_FORMATS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")

Options = TypeVar("Options")
PictureFile = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PICTURE")]
PromptText = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]


class CommandError(Exception):
    r"""A command could not be carried out, and nothing that was typed is wrong. Its sentence is shown; status 1."""


@dataclass(frozen=True, kw_only=True)
class Threads:
    threads: int | None = None
    """How many threads of the processor to use; by default as many as PyTorch chooses."""


@dataclass(frozen=True, kw_only=True)
class Weights(Threads):
    weights: str = "picturebook"
    """The name of weights that are shipped, or a folder; or Stable Diffusion 1.5: a folder of diffusers, or a file."""

    def load(self, by_tokens: bool = False) -> Any:
        r"""The pipeline of these weights: a `TextToImage`, or a `TokenPipeline`."""
        if by_tokens:
            from minidiffusion.pipelines.token_to_image import TokenPipeline as Pipeline
        else:
            from minidiffusion.pipelines.text_to_image import TextToImage as Pipeline
        return Pipeline.load(self.weights)


def parse(options: type[Options], command: str, arguments: Sequence[str]) -> Options:
    r"""The options of a command; --threads is obeyed at once. For what it cannot parse, tyro leaves with status 2.

    options: a dataclass. Its docstring is shown by --help, but for what it raises, which is for programmers.
    """
    config = (tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    text = (inspect.getdoc(options) or "").partition("Raises ")[0]
    parsed = tyro.cli(options, args=arguments, prog=f"minidiffusion {command}", description=text, config=config)
    if isinstance(parsed, Threads) and parsed.threads is not None:
        check_between("threads", parsed.threads, 1, MAX_THREADS)
        import torch

        torch.set_num_threads(parsed.threads)
    return parsed


def check_between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} must be between {low} and {high}, got {value}.")


def check_out(out: Path, *, must_be_png: bool = True) -> None:
    r"""Raises UserError for a file that is no PNG; unless it must be one, `out` may also be a folder."""
    ending = out.suffix.lower()
    if ending in PIXEL_FORMATS or (must_be_png and ending != ".png"):
        raise UserError(f"out must be a .png file, which keeps pictures exact, got {out}.")
