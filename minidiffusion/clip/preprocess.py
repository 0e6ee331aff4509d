r"""Preprocessing: from a picture of any size and mode to CLIP's input, exactly as its authors do it.

    RGB on white -> the shorter side becomes `size` (bicubic) -> the square in the middle -> /255 -> (x - mean) / std

Reimplementations differ in each step: the longer side is rounded *down*, the square starts at (side - size)//2, and
Pillow's bicubic filter averages where it shrinks, which plain interpolation does not. The result is bit-equal to that
of transformers' CLIPProcessor (version 5, Pillow backend). As there, transparent pixels become white; in OpenAI's code
and older transformers they have the colour stored in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from minidiffusion.errors import UserError

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
LONGEST = 100
"""The largest ratio of the sides of a picture, so that the resized one fits into memory."""


@dataclass(frozen=True)
class Preprocess:
    r"""Pictures to `b 3 size size`. The default mean and std give [-1, 1], the range of our own networks."""

    size: int = 64
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @staticmethod
    def openai(size: int = 224) -> "Preprocess":
        r"""With the mean and standard deviation of the colours in OpenAI's training pictures."""
        return Preprocess(size, OPENAI_MEAN, OPENAI_STD)

    def __call__(self, images: Image.Image | Sequence[Image.Image]) -> Float[Tensor, "b 3 h w"]:
        images = [images] if isinstance(images, Image.Image) else images
        if not images:
            return torch.empty(0, 3, self.size, self.size)
        return torch.stack([self.one(image) for image in images])

    def one(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        r"""Raises UserError for a picture whose sides differ by more than a factor of LONGEST."""
        pixels = np.asarray(centre_square(on_white(image), self.size)).transpose(2, 0, 1)
        # In double, then single: times a single-precision 1/255 would differ in the last bit.
        x = (pixels.astype(np.float64) * (1 / 255)).astype(np.float32)
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        return torch.from_numpy((x - mean) / std)


def on_white(image: Image.Image) -> Image.Image:
    r"""A picture of any mode in RGB, on a white background where it is transparent."""
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def centre_square(image: Image.Image, size: int) -> Image.Image:
    r"""Resize the shorter side to `size`, and crop the longer one to it, equally at both ends."""
    short, long = sorted(image.size)
    if long > LONGEST * short:
        raise UserError(
            f"the sides of a picture must differ by at most a factor of {LONGEST}, got {image.width} x {image.height}."
        )
    longer = int(size * long / short)
    width, height = (size, longer) if image.width <= image.height else (longer, size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
