r"""`minidiffusion train`: train a network, on the picture book, emoji, or a folder of one's own pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minidiffusion.errors import UserError

from .options import Threads, parse

DATA = "picturebook"


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
    class Train(Threads):
        r"""Train one network: first the vae and clip, in any order, then the unet, which builds on both.

        The upscaler builds on the vae. The token pipeline needs a codebook, which builds on clip, and tokens, which
        build on both. The judge (the attribute classifier) stands alone; it is needed to evaluate. So do the digits, a
        model small enough for exact likelihoods.
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
        data: str = DATA
        """picturebook; emoji, of which one in ten stays unseen for the test; or a folder with pictures and captions."""
        pictures: int = 60_000
        """How many pages of the picture book to draw."""
        resume: bool = False
        """Go on where an earlier training stopped."""

    options = parse(Train, "train", arguments)
    if options.pictures < 1:
        raise UserError(f"pictures must be at least 1, got {options.pictures}.")
    match options.network, options.data:
        case UpscalerTraining() | JudgeTraining() | DigitsTraining(), name if name != DATA:
            learns = "digits" if isinstance(options.network, DigitsTraining) else "the picture book"
            raise UserError(f"This network is trained on {learns} only, so it takes no --data, got {name}.")
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
