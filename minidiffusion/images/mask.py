r"""Masks: a region of a picture as plain values, small enough to travel in a record."""

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from minidiffusion.errors import UserError

from .read_picture import read_picture

MAX_SIDE = 2048


def read_mask(path: str | Path) -> PIL.Image.Image:
    r"""A mask from a picture file, in mode "1": white where the picture is lighter than middle grey."""
    grey = read_picture(path).convert("L")
    return grey.point([255 * (value > 127) for value in range(256)], "1")


def pack_mask(mask: PIL.Image.Image) -> list[Any]:
    r"""A mask as plain values, for a record: width, height, and its bits, compressed, in base 64."""
    bits = np.packbits(np.array(mask.convert("1")))
    return [*mask.size, base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()]


def unpack_mask(packed: list[Any]) -> PIL.Image.Image:
    r"""The mask. Raises ValueError if it is none."""
    try:
        width, height, text = packed
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise ValueError(f"it is {width} x {height}")
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), MAX_SIDE**2)
        bits = np.unpackbits(np.frombuffer(data, np.uint8))[: width * height]
        return PIL.Image.fromarray(bits.reshape(height, width).astype(bool))
    except (TypeError, ValueError, zlib.error) as error:
        raise UserError(f"The mask of the record is damaged: {error}") from error
