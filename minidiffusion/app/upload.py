r"""Pictures that a browser sends, as a data URL with a PNG (RFC 2397).

The page converts every picture to a PNG with at most MAX_SIDE pixels a side before it sends it (`upload.js`), so all
else is refused here: it does not come from the page.
"""

import base64
import struct

import PIL.Image
import PIL.ImageOps

from minidiffusion.clip.preprocess import on_white
from minidiffusion.errors import UserError
from minidiffusion.images.read_picture import decode
from minidiffusion.pipelines.text_to_image import TextToImage

MAX_SIDE = 1024
PREFIX = "data:image/png;base64,"
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_data_url(url: object, what: str) -> PIL.Image.Image:
    r"""The picture of `data:image/png;base64,...`. Raises UserError, with a sentence about `what`, for all else.

    Its size is read from the file's first bytes (PNG specification, section 11.2.1) before anything is unpacked.
    """
    refusal = UserError(f"{what} must be a picture that the browser can show, such as PNG or JPEG.")
    if not isinstance(url, str) or not url.startswith(PREFIX):
        raise refusal
    try:
        data = base64.b64decode(url.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise refusal from None
    if not data.startswith(SIGNATURE) or len(data) < 24:
        raise refusal
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise UserError(f"{what} must have 1 to {MAX_SIDE} pixels a side, got {width} x {height}.")
    return decode(data, what)


def fit(model: TextToImage, image: PIL.Image.Image) -> PIL.Image.Image:
    r"""The centre of the image, on white where it is transparent, in a size that the model can draw.

    The size is the one nearest to the image's aspect ratio.
    """
    width, height = image.size
    longest = 2 * min(width, height)
    size = model.sides_of((min(width, longest), min(height, longest)))
    return PIL.ImageOps.fit(on_white(image), size, PIL.Image.Resampling.LANCZOS)


def painted_mask(layer: PIL.Image.Image) -> PIL.Image.Image:
    r"""A mask in mode "1": white where something was painted on a transparent layer."""
    return layer.convert("RGBA").getchannel("A").point([0] * 128 + [255] * 128, "1")
