r"""A pattern without a seam: one picture that fits itself on all sides, repeated (article 5)."""

from dataclasses import replace

import PIL.Image

from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.settings import DEFAULTS, SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.flags import Prompt
from minidiffusion.prompt.parser import parse

MOST_TIMES = 16


def pattern(
    model: TextToImage, prompt: str | Prompt, seed: int = 0, times: int = 3, settings: SamplingSettings = DEFAULTS
) -> tuple[PIL.Image.Image, Picture]:
    r"""A picture without a seam (--tile), repeated `times` x `times`, and the one picture.

    Raises UserError unless times is 1 to MOST_TIMES, and PromptError.
    """
    check_times(times)
    prompt = parse(prompt) if isinstance(prompt, str) else prompt
    (picture,) = model.imagine(replace(prompt, tile=True), [seed], settings)
    tile = picture.image
    wall = PIL.Image.new("RGB", (times * tile.width, times * tile.height))
    for i in range(times * times):
        wall.paste(tile, (i % times * tile.width, i // times * tile.height))
    return wall, picture


def check_times(times: int) -> None:
    if not 1 <= times <= MOST_TIMES:
        raise UserError(f"times must be between 1 and {MOST_TIMES}, got {times}.")
