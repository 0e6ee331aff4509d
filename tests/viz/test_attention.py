r"""Figures of attention: frames where they belong, weights on one scale."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch

from minidiffusion.viz.attention import captioned, framed, matrices

matplotlib.use("agg")

GREY = np.full((4, 4, 3), 55, dtype=np.uint8)


def test_a_frame_is_around_its_place_and_the_picture_stays_as_it_was():
    picture = np.full((12, 12, 3), 55, dtype=np.uint8)
    changed = framed(picture, place=1, places=2)
    assert (picture == 55).all()
    white, black = (changed == 255).all(-1), (changed == 0).all(-1)
    expected = np.zeros((12, 12), dtype=bool)
    expected[0:6, 6:12] = True
    expected[1:5, 7:11] = False
    assert np.array_equal(white, expected)
    expected[:] = False
    expected[1:5, 7:11] = True
    expected[2:4, 8:10] = False
    assert np.array_equal(black, expected)


def test_captions_stand_over_their_pictures():
    figure = captioned([[(GREY, "a"), (GREY + 1, "b")], [(GREY + 2, "c")]], ["above", "below"])
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", ""]
    assert [int(ax.images[0].get_array()[0, 0, 0]) if ax.images else None for ax in figure.axes] == [55, 56, 57, None]
    assert [ax.get_ylabel() for ax in figure.axes] == ["above", "", "below", ""]


def test_matrices_have_queries_down_and_keys_across_on_one_scale():
    left, right = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]), torch.full((2, 3), 1 / 3)
    figure = matrices([left, right], ["left", "right"], ["q1", "q2"], ["k1", "k2", "k3"])
    first, second = figure.axes[:2]
    assert np.array_equal(first.images[0].get_array(), left) and first.get_title() == "left"
    assert [label.get_text() for label in first.get_yticklabels()] == ["q1", "q2"]
    assert [label.get_text() for label in second.get_xticklabels()] == ["k1", "k2", "k3"]
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 1)


def test_no_figure_stays_open():
    captioned([[(GREY, "a")]])
    matrices([torch.ones(1, 1)], ["one"], ["q"], ["k"])
    assert plt.get_fignums() == []
