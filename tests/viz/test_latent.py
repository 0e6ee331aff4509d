"""Figures of latent spaces: every code where it lies, every datum joined to its nearest code."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minidiffusion.viz.base import VERMILION
from minidiffusion.viz.latent import codebooks, codes, interpolations

matplotlib.use("agg")


def test_codes_lie_where_they_are_each_in_the_group_of_its_digit():
    z, labels = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), torch.tensor([7, 2, 7])
    one, two = codes({"one": z, "two": -z}, labels).axes
    assert (one.get_title(), two.get_title()) == ("one", "two")
    groups = [group.get_offsets().tolist() for group in one.collections]
    assert groups == [[[2, 3]], [[0, 1], [4, 5]]]  # the 2, then the 7s
    assert two.collections[0].get_offsets().tolist() == [[-2, -3]]
    shapes = [group.get_paths()[0].vertices.shape for group in one.collections]
    assert shapes[0] != shapes[1]  # a glyph of its own for each digit


def test_data_are_joined_to_their_nearest_code_and_dead_codes_are_crosses():
    data, e = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]]), torch.tensor([[0.4, 0.0], [50.0, 0.0], [8.0, 0.0]])
    (ax,) = codebooks(data, {"start": e}).axes
    joined = [segment.tolist() for segment in ax.collections[0].get_segments()]
    expected = [[[0, 0], [0.4, 0]], [[1, 0], [0.4, 0]], [[9, 0], [8, 0]]]
    np.testing.assert_allclose(joined, expected, rtol=1e-6)
    points, living, dead = ax.lines
    assert len(points.get_xdata()) == 3
    np.testing.assert_allclose(living.get_xdata(), [0.4, 8], rtol=1e-6)
    assert dead.get_xdata().tolist() == [50] and dead.get_color() == VERMILION


def test_a_walk_shows_every_picture_and_both_histograms():
    w, picture = torch.linspace(0, 1, 3), torch.zeros(3, 4, 4)
    z = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    rows = {"straight": [picture - 1, picture, picture + 1], "arc": [picture] * 3}
    norms = {"straight": torch.tensor([1.0, 0.7, 1.0])}
    *pictures, left, right = interpolations(w, rows, norms, 2 * z, z).axes
    assert [ax.images[0].get_array().mean() for ax in pictures] == [0, 128, 255, 128, 128, 128]
    assert [ax.get_title() for ax in pictures[:3]] == ["w = 0.00", "w = 0.50", "w = 1.00"]
    assert [pictures[i].get_ylabel() for i in (0, 3)] == ["straight", "arc"]
    np.testing.assert_allclose(left.lines[0].get_ydata(), norms["straight"])
    assert left.get_ylim()[0] == 0  # a norm of 0.7 looks like 0.7
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == [f"before: std {2 * z.std():.2f}", f"after: std {z.std():.2f}", "N(0, 1)"]
    heights = [np.asarray(patch.get_xy())[:, 1].max() for patch in right.patches]
    assert heights == pytest.approx([0.2, 0.4], rel=0.1)  # the peaks of N(0, 4) and N(0, 1)
    x, y = right.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)


def test_no_figure_stays_open():
    points = torch.zeros(2, 2)
    codes({"a": points}, torch.tensor([1, 2]))
    codebooks(points, {"a": points})
    interpolations(torch.tensor([0.0, 1.0]), {"a": [torch.zeros(3, 2, 2)] * 2}, {"a": torch.ones(2)}, points, points)
    assert plt.get_fignums() == []
