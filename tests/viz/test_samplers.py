r"""Figures of samplers: trajectories where they went, errors where they fell."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minidiffusion import viz
from minidiffusion.viz.samplers import STYLES, against_calls

matplotlib.use("agg")

TIMES = torch.tensor([0, 500, 1000])


def narrowing(x, t):
    """A density at 1 that is narrow at t = 0."""
    return torch.distributions.Normal(1.0, 0.2 + t / 1000).log_prob(x[:, 0])


def trajectory(*places):
    return torch.tensor([1000, 500, 0]), torch.tensor(places, dtype=torch.float64).T


def lines(ax):
    return [line.get_ydata().tolist() for line in ax.lines]


def test_trajectories_show_the_first_points_and_the_histogram_of_all():
    figure = viz.trajectories(TIMES, narrowing, {"one": trajectory([0, 1, 1.96], [-2, -1, 0.02], [1, 1, 1])}, shown=2)
    ax, side = figure.axes
    assert lines(ax) == [[0, 1, 1.96], [-2, -1, 0.02]] and ax.lines[0].get_xdata().tolist() == [1000, 500, 0]
    assert ax.get_xlim() == (1000, 0) and ax.get_title() == "one"  # noise left, data right
    bars = [bar.get_y() for bar in side.patches if bar.get_width() > 0]  # the lower edges
    assert len(bars) == 3 and bars[-1] < 1.96 < bars[-1] + 0.1
    density, places = side.lines[0].get_data()
    assert places[density.argmax()] == pytest.approx(1, abs=0.03)
    assert density.max() == pytest.approx(1 / (0.2 * (2 * np.pi) ** 0.5), rel=0.01)  # that of t = 0


def test_the_density_behind_the_trajectories_belongs_to_its_time():
    figure = viz.trajectories(TIMES, narrowing, {"one": trajectory([0, 1, 2])})
    band = figure.axes[0].collections[0].get_paths()[4]  # from 1/2 to 5/8 of the maximum
    for t in (0, 500):
        edge = band.vertices[np.isclose(band.vertices[:, 0], t), 1]
        half_width = (2 * np.log(2)) ** 0.5 * (0.2 + t / 1000)  # of a Gaussian, at half its height
        assert (edge.min(), edge.max()) == pytest.approx((1 - half_width, 1 + half_width), abs=0.02)


def test_convergence_shows_every_trajectory_and_every_error():
    exact, wild, steps = (
        trajectory([0, 1, 2], [1, 1, 1]),
        trajectory([0, 5, 2], [1, -5, 1]),
        {"heun": trajectory([0, 1, 1], [1, 1, 0])},
    )
    errors = {"ddim: slope 1.00": ([10, 100], [1e-1, 1e-2]), "my own": ([10, 100], [1.0, 0.1])}
    left, right = viz.convergence(TIMES, narrowing, exact, {"ddpm": wild}, steps, errors, {"ddim": 1}).axes
    assert lines(left)[:2] == [[0, 5, 2], [1, -5, 1]]
    assert lines(left)[3:] == [[0, 1, 2], [1, 1, 1], [0, 1, 1], [1, 1, 0]]
    named = {text.get_text() for text in left.get_legend().get_texts()}
    assert named == {"ddpm, 2 steps", "the ODE's solution", "heun, 2 steps"}
    assert [text.get_text() for text in right.get_legend().get_texts()] == list(errors)
    assert right.lines[0].get_color() == STYLES["ddim"][0]


def test_the_grey_line_has_the_slope_that_it_names():
    _, ax = plt.subplots()
    against_calls(ax, {"heun": ([8, 16, 32], [1e-1, 3e-2, 7e-3])}, "error", {"heun": 2})
    curve, guide = ax.lines
    (x0, x1), (y0, y1) = guide.get_data()
    assert np.log(y0 / y1) / np.log(x1 / x0) == pytest.approx(2)
    assert y1 < curve.get_ydata()[-1] and ax.texts[0].get_text() == "slope 2"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["8", "16", "32"]
    plt.close("all")


def test_no_figure_stays_open():
    viz.trajectories(TIMES, narrowing, {"one": trajectory([0, 1, 2])})
    assert plt.get_fignums() == []
