r"""A pattern without a seam: one picture that fits itself on all sides, repeated (article 5)."""

from dataclasses import replace

import PIL.Image

from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.settings import DEFAULTS, SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.parser import parse


def pattern(
    model: TextToImage, text: str, seed: int = 0, times: int = 3, settings: SamplingSettings = DEFAULTS
) -> tuple[PIL.Image.Image, Picture]:
    r"""A picture without a seam (--tile), repeated `times` x `times`, and the one picture.

    Raises UserError unless times is 1 to 16, and PromptError.
    """
    if not 1 <= times <= 16:
        raise UserError(f"times must be between 1 and 16, got {times}.")
    (picture,) = model.imagine(replace(parse(text), tile=True), [seed], settings)
    tile = picture.image
    wall = PIL.Image.new("RGB", (times * tile.width, times * tile.height))
    for i in range(times * times):
        wall.paste(tile, (i % times * tile.width, i // times * tile.height))
    return wall, picture
