r"""A sheet of pictures, to see at a glance how far a training has come."""

import PIL.Image
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def picture_sheet(x: Float[Tensor, "n 3 h w"], columns: int) -> PIL.Image.Image:
    r"""Pictures in [-1, 1], row after row. n must be a multiple of `columns`."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    return PIL.Image.fromarray(rearrange(pixels, "(r c) rgb h w -> (r h) (c w) rgb", c=columns).numpy())
