"""Figures of normalising kernels: errors where they fell, programs where they went."""

from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minidiffusion.viz.base import VERMILION
from minidiffusion.viz.norms import OTHER, OWN, cancellation, channel_access, element_access

matplotlib.use("agg")


class Access(NamedTuple):
    program: tuple[int, int, int]
    shape: tuple[int, ...]
    offsets: np.ndarray


def touching(program, shape, channels, pixels):
    """Program `program` touches these pixels of these channels."""
    _, _, *sides = shape
    return Access((program, 0, 0), shape, np.add.outer(np.array(channels) * np.prod(sides), np.array(pixels)).ravel())


def test_cancellation_shows_every_error_and_says_nan():
    errors = {"bad": [1e-7, 1e-3, 10.0], "good": [1e-7, 1e-6, 1e-5]}
    grey, lost = torch.zeros(3, 2, 2), torch.full((3, 2, 2), torch.nan)
    figure = cancellation([1.0, 1e2, 1e4], errors, {"bad": {1.0: grey, 1e4: lost}, "good": {1.0: grey, 1e4: grey}})
    ax, *pictures = figure.axes
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == list(errors.values())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["bad", "good"]
    assert (ax.get_xscale(), ax.get_yscale(), ax.lines[0].get_color()) == ("log", "log", VERMILION)
    assert [[text.get_text() for text in picture.texts] for picture in pictures] == [[], ["NaN"], [], []]
    assert [picture.get_title() for picture in pictures[:2]] == ["mean 1", "mean 10,000"]


@pytest.mark.parametrize("line, slope", [(2, 2), (3, 1)])
def test_the_grey_lines_have_the_slopes_that_they_name(line, slope):
    grey = torch.zeros(3, 2, 2)
    ax = cancellation(
        [1.0, 10.0, 100.0], {"a": [1e-7] * 3, "b": [1e-6] * 3}, {"a": {1.0: grey}, "b": {1.0: grey}}
    ).axes[0]
    x, y = map(np.asarray, ax.lines[line].get_data())
    assert np.log(y[-1] / y[0]) / np.log(x[-1] / x[0]) == pytest.approx(slope)
    assert f"slope {slope}" in [text.get_text() for text in ax.texts]


def test_element_access_gives_each_program_its_own_shade_and_leaves_the_rest_white():
    shape = (1, 4, 2, 3)
    accesses = [touching(0, shape, [0, 1], range(6)), touching(1, shape, [2], range(3)), touching(0, shape, [3], [5])]
    ax = element_access({"loads": accesses}, groups=2).axes[0]
    shades = ax.images[0].get_array()
    assert shades.shape == (4, 6, 3) and ax.get_title() == "loads\n2 programs"
    assert (shades[:2] == shades[3, 5]).all() and not (shades[2, 0] == shades[0, 0]).all()
    assert (shades[2, 3:] == 1).all() and (shades[3, :5] == 1).all()
    assert [line.get_ydata()[0] for line in ax.lines] == [2]  # between channels 1 and 2


def test_channel_access_tells_its_own_channels_from_those_of_another_group():
    shape = (1, 6, 2, 2)
    careless = [touching(0, shape, range(4), range(4)), touching(1, shape, range(2, 6), [0])]
    ax = channel_access({"loads": careless}, groups=2).axes[0]
    touched = np.asarray(ax.collections[0].get_array()).reshape(2, 6)
    assert touched.tolist() == [[OWN, OWN, OWN, OTHER, 0, 0], [0, 0, OTHER, OWN, OWN, OWN]]
    assert [line.get_xdata()[0] for line in ax.lines] == [3]
    bottom, top = ax.get_ylim()
    assert bottom > top  # program 0 above


def test_no_figure_stays_open():
    accesses = [touching(0, (1, 2, 1, 1), [0], [0])]
    element_access({"a": accesses}, groups=2)
    channel_access({"a": accesses}, groups=2)
    grey = torch.zeros(3, 2, 2)
    cancellation([1.0, 10.0], {"a": [1e-7, 1e-6]}, {"a": {1.0: grey}})
    assert plt.get_fignums() == []
