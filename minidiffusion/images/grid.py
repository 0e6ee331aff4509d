r"""Several pictures on one sheet."""

import math
from collections.abc import Sequence

import PIL.Image
from jaxtyping import Float
from torch import Tensor

from minidiffusion.errors import UserError

from .pixels import to_pixels


def grid(
    images: Sequence[PIL.Image.Image], columns: int | None = None, enlarge: int | None = None, gap: int | None = None
) -> PIL.Image.Image:
    r"""The images, all of one size, in rows; each pixel becomes a square of `enlarge` pixels, without smoothing.

    columns: by default all in one row up to three, and as square as possible from four on (four: 2 x 2). enlarge: by
    default 6, and less for pictures more than 64 wide, down to 1. gap: pixels between images, by default `enlarge`.
    Raises UserError for no images, images of different sizes, and columns or enlarge below 1.
    """
    if len({image.size for image in images}) != 1:
        raise UserError("A grid needs at least one image, and all of one size.")
    enlarge = max(1, min(6, 6 * 64 // images[0].width)) if enlarge is None else enlarge
    if enlarge < 1 or (columns is not None and columns < 1):
        raise UserError(f"columns and enlarge must be at least 1, got {columns} and {enlarge}.")
    n = len(images)
    columns = columns or (n if n < 4 else math.ceil(math.sqrt(n)))
    width, height = (enlarge * side for side in images[0].size)
    gap = enlarge if gap is None else gap
    rows = math.ceil(n / columns)
    sheet = PIL.Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        large = image.resize((width, height), PIL.Image.Resampling.NEAREST)
        sheet.paste(large, (column * (width + gap), row * (height + gap)))
    return sheet


def picture_sheet(x: Float[Tensor, "n 3 h w"], columns: int) -> PIL.Image.Image:
    r"""Pictures in [-1, 1] in rows, as they are, without gaps."""
    return grid([PIL.Image.fromarray(pixels) for pixels in to_pixels(x)], columns, enlarge=1, gap=0)
