r"""A picture out of a browser, which may be anybody's: a PNG as a data address, and small.

The page makes a PNG of whatever picture it is given, with at most LARGEST pixels a side, before it sends it, so this is
all that needs to be understood here. Who sends something else did not use the page.
"""

import base64
import struct

import PIL.Image
import PIL.ImageOps

from minidiffusion.images.read_picture import decode
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.inpainting import size_of

LARGEST = 1024
START = "data:image/png;base64,"
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_upload(address: object, what: str) -> PIL.Image.Image:
    r"""The picture in `data:image/png;base64,...`. Raises ValueError, with a sentence about `what`, for all else.

    Its size is read from the file's first bytes (PNG specification, section 11.2.1) before anything is unpacked.
    """
    refusal = ValueError(
        f"{what} could not be read; valid are pictures that your browser can show, such as PNG or JPEG."
    )
    if not isinstance(address, str) or not address.startswith(START):
        raise refusal
    try:
        data = base64.b64decode(address.removeprefix(START), validate=True)
    except ValueError:
        raise refusal from None
    if not data.startswith(SIGNATURE) or len(data) < 24:
        raise refusal
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise ValueError(f"{what} is {width} x {height}; valid are up to {LARGEST} pixels a side.")
    return decode(data, what)


def fitted(model: TextToImage, image: PIL.Image.Image) -> PIL.Image.Image:
    r"""The picture's middle, in the size nearest to its shape in which the model draws; see-through becomes white."""
    width, height = image.size
    longest = 2 * min(width, height)
    size = size_of(model, (min(width, longest), min(height, longest)))
    paper = PIL.Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image.convert("RGBA"))
    return PIL.ImageOps.fit(paper.convert("RGB"), size, PIL.Image.Resampling.LANCZOS)


def region(image: PIL.Image.Image) -> PIL.Image.Image:
    r"""What was painted on a layer that was see-through: a mask in mode "1"."""
    return image.convert("RGBA").getchannel("A").point([0] * 128 + [255] * 128, "1")
