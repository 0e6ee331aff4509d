import hashlib
from pathlib import Path

import torch

from minidiffusion import data
from minidiffusion.data.digits import GREY_LEVELS, digits


def test_all_1797_are_there_in_17_greys():
    x, y = digits()
    x_held_out, y_held_out = digits(held_out=True)
    assert x.shape == (1500, 1, 8, 8) and x_held_out.shape == (297, 1, 8, 8)
    assert len(y) == 1500 and len(y_held_out) == 297
    both = torch.cat([x, x_held_out])
    assert torch.equal(both.unique(), torch.linspace(-1, 1, GREY_LEVELS))
    assert torch.cat([y, y_held_out]).bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_no_training_picture_is_held_out():
    x, x_held_out = digits()[0].flatten(1), digits(held_out=True)[0].flatten(1)
    assert torch.cdist(x_held_out, x).min() > 0.1


def test_the_labels_fit_the_pictures():
    (x, y), (x_held_out, y_held_out) = digits(), digits(held_out=True)
    means = torch.stack([x[y == k].mean(0) for k in range(10)]).flatten(1)
    nearest = torch.cdist(x_held_out.flatten(1), means).argmin(1)
    assert (nearest == y_held_out).float().mean() > 0.8  # chance: 0.1


def test_the_file_is_the_one_that_was_made_from_the_published_data():
    file = Path(data.__file__).with_name("digits.npz")
    assert (
        hashlib.sha256(file.read_bytes()).hexdigest()
        == "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"
    )
