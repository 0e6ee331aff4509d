r"""Canvases and masks."""

import base64
import zlib

import numpy as np
import PIL.Image
import pytest
import torch

from minidiffusion.images.canvas import extend, mend
from minidiffusion.images.mask import pack_mask, unpack_mask
from minidiffusion.images.pixels import to_pixels, to_tensor


def colours(width, height):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(values)


def test_every_value_survives_the_way_to_numbers_and_back():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, axis=2)
    x = to_tensor(PIL.Image.fromarray(every))
    assert x.min() == -1 and x.max() == 1 and x.shape == (1, 3, 16, 16)
    assert (to_pixels(x)[0] == every).all()


@pytest.mark.parametrize(("size", "corner"), [((10, 8), (3, 2)), ((6, 4), (0, 0)), ((6, 4), (-2, 1)), ((9, 4), (3, 0))])
def test_a_canvas_is_the_image_at_its_place_with_its_edges_drawn_out(size, corner):
    image = colours(6, 4)
    canvas, mask = (np.asarray(each) for each in extend(image, size, corner))
    pixels = np.asarray(image)
    assert canvas.shape == (size[1], size[0], 3) and mask.shape == (size[1], size[0])
    for row in range(size[1]):
        for column in range(size[0]):
            y, x = row - corner[1], column - corner[0]
            assert mask[row, column] != (0 <= y < 4 and 0 <= x < 6)
            assert (canvas[row, column] == pixels[min(max(y, 0), 3), min(max(x, 0), 5)]).all()


def test_where_the_canvas_goes_on_the_margin_is_not_kept():
    _, mask = extend(colours(6, 4), (9, 4), (0, 0), margin=2)  # it goes on to the right only
    assert (np.asarray(mask) == np.array([[0, 0, 0, 0, 1, 1, 1, 1, 1]])).all()
    _, mask = extend(colours(6, 4), (8, 6), (1, 1), margin=1)
    assert (~np.asarray(mask)).sum() == 4 * 2 and not np.asarray(mask)[2:4, 2:6].any()


def test_a_seam_is_mended_as_the_least_squares_say():
    r"""The same sum of squares, row by row as a matrix, and NumPy to solve it."""
    rng = np.random.default_rng(0)
    b, c, height, width, reach = 2, 3, 6, 9, 2.0
    drawn, known = rng.standard_normal((b, c, height, width)), rng.standard_normal((1, c, height, width))
    unknown = rng.random((height, width)) < 0.6
    place = {tuple(p): i for i, p in enumerate(np.argwhere(unknown).tolist())}
    rows, right = [np.eye(len(place)) / reach], [np.zeros((b, c, len(place)))]
    for (y, x), i in place.items():
        for q in ((y + 1, x), (y, x + 1), (y - 1, x), (y, x - 1)):
            if not (0 <= q[0] < height and 0 <= q[1] < width):
                continue
            row = np.eye(len(place))[i]
            if q not in place:
                right.append((known[:, :, *q] - drawn[:, :, y, x])[..., None])
            elif place[q] > i:  # each pair once
                row, _ = row - np.eye(len(place))[place[q]], right.append(np.zeros((b, c, 1)))
            else:
                continue
            rows.append(row[None])
    h = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right, axis=2).reshape(b * c, -1).T, rcond=None)[0]
    expected = np.where(unknown, drawn, known)
    expected[:, :, unknown] += h.T.reshape(b, c, -1)
    given = (torch.from_numpy(each) for each in (drawn, known, unknown[None, None].astype(float)))
    np.testing.assert_allclose(mend(*given, reach=reach).numpy(), expected, rtol=0, atol=1e-7)  # a colour is 8e-3


def test_what_goes_on_smoothly_stays_as_it_is_and_far_away_nothing_is_changed():
    flat, unknown = torch.full((1, 3, 8, 96), 0.3), torch.zeros(1, 1, 8, 96)
    unknown[..., 32:] = 1
    assert torch.equal(mend(flat, flat, unknown), flat)
    mended = mend(flat - 0.5, flat, unknown)[0, 0, 0]
    assert (mended[:32] == 0.3).all() and mended[32] > 0.2 and (mended.diff() <= 1e-6).all()
    assert abs(mended[-1] + 0.2) < 2 * 0.5 * np.exp(-63 / 8)  # e times less every `reach` pixels, mirrored at the edge


def test_a_mask_becomes_text_and_a_mask_again():
    for width, height in ((64, 64), (7, 3), (1, 1)):
        mask = PIL.Image.fromarray(np.random.default_rng(1).random((height, width)) < 0.5)
        packed = pack_mask(mask)
        assert unpack_mask(packed).size == mask.size and unpack_mask(packed).tobytes() == mask.tobytes()
    assert len(pack_mask(PIL.Image.new("1", (512, 512), 1))[2]) < 200


@pytest.mark.parametrize(
    "packed",
    [
        [4, 4],
        [4, 4, "no base 64!"],
        [4, 4, base64.b64encode(b"not compressed").decode()],
        [4, "4", base64.b64encode(zlib.compress(b"\0\0")).decode()],
        [-4, -4, base64.b64encode(zlib.compress(b"\0\0")).decode()],
        [10**6, 10**6, base64.b64encode(zlib.compress(bytes(10**7))).decode()],
        [4, 4, base64.b64encode(zlib.compress(b"\0")).decode()],
        [0, 4, base64.b64encode(zlib.compress(b"\0")).decode()],
    ],
)
def test_what_is_no_mask_is_refused(packed):
    with pytest.raises(ValueError, match="mask"):
        unpack_mask(packed)


def test_the_numbers_are_those_of_an_rgb_image():
    assert torch.equal(to_tensor(PIL.Image.new("L", (2, 2), 255)), torch.ones(1, 3, 2, 2))
