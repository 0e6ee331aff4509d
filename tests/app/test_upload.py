r"""Pictures that a browser sends: what is read, and what is refused."""

import base64
import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from minidiffusion.app.upload import MAX_SIDE, fit, painted_mask, read_data_url
from minidiffusion.errors import UserError
from tests.tiny import tiny_model


def data_url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def encoded(image: PIL.Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    r"""A PNG whose first bytes promise that size, and which has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def test_a_picture_arrives_as_it_was():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert (np.asarray(read_data_url(data_url(encoded(PIL.Image.fromarray(pixels))), "It")) == pixels).all()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (None, "must be a picture"),
        (7, "must be a picture"),
        ("", "must be a picture"),
        ("data:image/png;base64,====", "must be a picture"),
        (data_url(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"), "must be a picture"),
        (data_url(b"<svg/>", "svg+xml"), "must be a picture"),
        (data_url(b"<html><script>alert(1)</script></html>"), "must be a picture"),
        (data_url(encoded(PIL.Image.new("RGB", (8, 8)), "JPEG")), "must be a picture"),  # its name says PNG
        (data_url(encoded(PIL.Image.new("RGB", (8, 8)), "EPS")), "must be a picture"),  # Pillow would run Ghostscript
        ("file:///etc/passwd", "must be a picture"),
        (data_url(png_of(8, 8)), "not a picture that Pillow can read"),
        (data_url(png_of(8, 8)[:20]), "must be a picture"),
        (data_url(png_of(MAX_SIDE + 1, 8)), f"must have 1 to {MAX_SIDE} pixels a side, got {MAX_SIDE + 1} x 8"),
        (data_url(png_of(8, 2**31 - 1)), "pixels a side"),
        (data_url(png_of(0, 8)), "pixels a side"),
    ],
)
def test_everything_else_is_refused(sent, words):
    with pytest.raises(UserError, match=words) as refusal:
        read_data_url(sent, "The picture")
    assert str(refusal.value).startswith("The picture ") and len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("given", "size"), [((90, 90), (16, 16)), ((200, 100), (32, 16)), ((7, 99), (16, 32)), ((1, 1), (16, 16))]
)
def test_a_picture_is_made_as_large_as_those_that_the_model_draws(given, size):
    image = PIL.Image.new("RGBA", given, (255, 0, 0, 0))  # red, but see-through
    made = fit(tiny_model(), image)
    assert made.mode == "RGB" and made.size == size and made.getpixel((0, 0)) == (255, 255, 255)


def test_the_mask_is_what_was_painted():
    layer = PIL.Image.new("RGBA", (4, 2), (255, 255, 255, 0))
    for place, alpha in {(0, 0): 255, (1, 0): 128, (2, 1): 127}.items():
        layer.putpixel(place, (255, 255, 255, alpha))
    assert np.asarray(painted_mask(layer)).tolist() == [[True, True, False, False], [False] * 4]
