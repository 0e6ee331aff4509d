r"""Pixels and tensors: the one place where 0..255 becomes [-1, 1], and back."""

import numpy as np
import PIL.Image
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def from_pixels(pixels: UInt8[np.ndarray, "*b h w 3"]) -> Float[Tensor, "*b 3 h w"]:
    r"""0..255 to [-1, 1], channels first."""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 127.5 - 1


def to_pixels(x: Float[Tensor, "*b 3 h w"]) -> UInt8[np.ndarray, "*b h w 3"]:
    r"""[-1, 1] to 0..255, rounded to the nearest; values outside are clipped."""
    return ((x + 1) * 127.5).round().clamp(0, 255).byte().movedim(-3, -1).cpu().numpy()


def to_tensor(image: PIL.Image.Image) -> Float[Tensor, "1 3 h w"]:
    r"""One picture as a batch of one, in [-1, 1]."""
    return from_pixels(np.array(image.convert("RGB")))[None]


def psnr(x: Float[Tensor, "b *shape"], y: Float[Tensor, "b *shape"]) -> Float[Tensor, "b"]:
    r"""Peak signal-to-noise ratio of each picture in decibels: $10\log_{10}(\mathrm{peak}^2 / \mathrm{MSE})$.

    The peak is 2, the whole range of pictures in [-1, 1]. Equal pictures: infinity.
    """
    return 10 * torch.log10(4 / (x - y).square().flatten(1).mean(1))
