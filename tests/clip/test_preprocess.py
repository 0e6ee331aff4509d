r"""What CLIP sees of a picture: to the last bit what transformers' CLIPProcessor makes of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from minidiffusion.clip.preprocess import Preprocess, centre_square, on_white

MODES = ["L", "P", "RGB", "RGBA", "LA", "1", "I;16", "CMYK"]
SIZES = [(1, 1), (224, 224), (640, 427), (333, 500), (37, 51), (225, 226)]


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(0)
    width, height = size
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 2**16, (height, width), dtype=np.uint16))
    image = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
    return image.convert("RGB").convert(mode) if mode in ("P", "CMYK") else image.convert(mode)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", MODES)
def test_it_equals_transformers_to_the_last_bit(mode):
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "CLIPImageProcessorPil"):
        pytest.skip("transformers before 5 has no class of that name for its Pillow backend")
    theirs = transformers.CLIPImageProcessorPil()
    for size in SIZES:
        image = picture(mode, size)
        assert image.mode == mode
        expected = theirs(image, return_tensors="pt")["pixel_values"]
        assert torch.equal(Preprocess.openai()(image), expected), (mode, size)


def test_by_default_pictures_are_in_minus_1_to_1():
    black, white = (Image.new("L", (9, 5), value) for value in (0, 255))
    x = Preprocess(4)([black, white])
    assert x.shape == (2, 3, 4, 4) and x.dtype == torch.float32
    torch.testing.assert_close(x[0], torch.full((3, 4, 4), -1.0))
    torch.testing.assert_close(x[1], torch.full((3, 4, 4), 1.0))


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_colour_declared_transparent_becomes_white(mode):
    r"""As in a GIF, and in a PNG without an alpha channel."""
    image = picture(mode, (8, 8))
    image.info["transparency"] = image.getpixel((0, 0))
    assert on_white(image).getpixel((0, 0)) == (255, 255, 255)
    assert on_white(image).getpixel((1, 0)) == image.convert("RGB").getpixel((1, 0))


def test_the_square_is_in_the_middle():
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    assert centre_square(image, 100).getcolors() == [(10_000, (0, 0, 255))]


def test_no_pictures_are_no_rows_and_a_thread_is_refused():
    assert Preprocess(8)([]).shape == (0, 3, 8, 8)
    with pytest.raises(ValueError, match="at most a factor of 100, got 1 x 101"):
        Preprocess(8)(Image.new("L", (1, 101)))
