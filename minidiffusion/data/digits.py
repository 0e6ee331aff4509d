r"""1,797 handwritten digits of 8 x 8 pixels: a real data set, small enough to train on in a minute.

From the test set of *Optical Recognition of Handwritten Digits* (E. Alpaydin and C. Kaynak 1998, UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0), as it comes with scikit-learn, stored as bytes. A pixel
counts the ink dots in a 4 x 4 block of the scan, so there are 17 grey levels, from 0 (paper) to 16.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

GREY_LEVELS = 17
N_TRAINING = 1500  # in the order of the file; the others are held out


def digits(held_out: bool = False) -> tuple[Float[Tensor, "n 1 8 8"], Int[Tensor, "n"]]:
    r"""(pictures in [-1, 1], their digits): the first 1,500, or the last 297, which no training uses."""
    with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as file:
        images, labels = torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])
    part = slice(N_TRAINING, None) if held_out else slice(N_TRAINING)
    return images[part, None].float() / ((GREY_LEVELS - 1) / 2) - 1, labels[part].long()
