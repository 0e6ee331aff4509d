r"""Several pictures on one sheet."""

import math
from collections.abc import Sequence

import PIL.Image

from minidiffusion.errors import UserError


def grid(images: Sequence[PIL.Image.Image], columns: int | None = None, enlarge: int | None = None) -> PIL.Image.Image:
    r"""The images, all of one size, in rows; each pixel becomes a crisp square, with a gap as wide as one in between.

    columns: by default all in one row up to three, and as square as possible from four on (four: 2 x 2). enlarge: by
    default 6, and less for pictures more than 64 wide, down to 1. Raises UserError for no images, images of different
    sizes, and numbers below 1.
    """
    if len({image.size for image in images}) != 1:
        raise UserError("A grid needs at least one image, and all of one size.")
    enlarge = max(1, min(6, 6 * 64 // images[0].width)) if enlarge is None else enlarge
    if enlarge < 1 or (columns is not None and columns < 1):
        raise UserError(f"Columns and enlargement of a grid are at least 1, not {columns} and {enlarge}.")
    n = len(images)
    columns = columns or (n if n < 4 else math.ceil(math.sqrt(n)))
    width, height = (enlarge * side for side in images[0].size)
    gap = enlarge
    rows = math.ceil(n / columns)
    sheet = PIL.Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        large = image.resize((width, height), PIL.Image.Resampling.NEAREST)
        sheet.paste(large, (column * (width + gap), row * (height + gap)))
    return sheet
