import math

import numpy as np
import pytest
import torch

from minidiffusion.images.grid import picture_sheet
from minidiffusion.images.pixels import from_pixels, psnr


def test_psnr_of_known_values():
    x = torch.zeros(3, 3, 8, 8)
    y = torch.stack([torch.full((3, 8, 8), 0.2), torch.full((3, 8, 8), -2.0), torch.zeros(3, 8, 8)])
    assert psnr(x, y).tolist() == pytest.approx([20.0, 0.0, math.inf])


def test_a_picture_sheet_has_rows_without_gaps_and_the_pixels_as_they_are():
    pixels = torch.randint(256, (6, 4, 5, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy()
    sheet = np.asarray(picture_sheet(from_pixels(pixels), columns=3))
    assert (sheet == np.concatenate([np.concatenate([*row], axis=1) for row in (pixels[:3], pixels[3:])])).all()
