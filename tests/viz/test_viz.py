r"""Figures: the right pictures in the right places, and nothing left behind."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest
import torch

from minidiffusion import viz
from minidiffusion.actions.action import Action
from minidiffusion.actions.vary import vary
from minidiffusion.diffusion.guidance import classifier_free

matplotlib.use("agg")


def plain(red: int) -> np.ndarray:
    return np.full((4, 5, 3), (red, 0, 0), dtype=np.uint8)


def shown(figure):
    return [ax.images[0].get_array() if ax.images else None for ax in figure.axes]


def test_pictures_of_every_kind_become_the_same_array():
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    tensor = torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1
    for same in (picture, PIL.Image.fromarray(picture), tensor, tensor.double().requires_grad_()):
        assert np.array_equal(viz.pixels(same), picture)
    assert viz.pixels(torch.tensor([-9.0, 0.0, 9.0]).reshape(3, 1, 1)).tolist() == [[[0, 128, 255]]]


def test_a_grid_has_its_pictures_in_rows_and_its_titles_outside():
    figure = viz.grid([[plain(1), plain(2)], [plain(3)]], ["above", "below"], ["left", "right"])
    assert [None if array is None else int(array[0, 0, 0]) for array in shown(figure)] == [1, 2, 3, None]
    assert [ax.get_title() for ax in figure.axes] == ["left", "right", "", ""]
    assert [ax.get_ylabel() for ax in figure.axes] == ["above", "", "below", ""]


def test_a_strip_is_a_grid_of_one_row():
    assert [int(array[0, 0, 0]) for array in shown(viz.strip([plain(1), plain(2), plain(3)]))] == [1, 2, 3]


def test_a_comparison_shows_both_pictures_and_the_difference_on_a_fixed_scale():
    figure = viz.compare(plain(0), plain(255), np.full((4, 5), 1 / 3), ("a", "b"))
    *pictures, heat = figure.axes[:3]
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in pictures] == [0, 255]
    assert heat.images[0].get_clim() == (0, 1)
    assert "mean 0.333" in heat.get_title()


def test_denoising_steps_show_tokens_states_and_guesses():
    figure = viz.denoising_steps(
        [("red", 7), ("house", 12)], [plain(1), plain(2)], [plain(3), plain(4)], ["first", "last"]
    )
    top, *pictures = figure.axes
    assert [text.get_text() for text in top.texts] == ["red", "7", "house", "12"]
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in pictures] == [1, 2, 3, 4]
    assert [ax.get_title() for ax in pictures] == ["first", "last", "", ""]


def test_the_forward_process_shows_the_pictures_and_both_curves_of_every_schedule():
    falling = torch.linspace(1, 0, 11)
    figure = viz.forward_process([plain(1), plain(2)], [0, 10], {"a": falling, "b": falling**2}, {"a": 1e6 * falling})
    first, second, left, right = figure.axes
    assert [ax.get_title() for ax in (first, second)] == ["t = 0", "t = 10"]
    assert [line.get_label() for line in left.lines] == ["a", "b"] and right.get_yscale() == "log"
    assert np.array_equal(left.lines[1].get_ydata(), falling**2)
    shown = right.lines[0].get_ydata()  # what no axis can hold is left out
    assert np.isnan(shown).sum() == 11


def test_lines_and_clouds_are_where_they_belong():
    figure = viz.lines(torch.arange(3), {"up": torch.arange(3.0)}, "a title")
    assert figure.axes[0].get_title() == "a title" and figure.axes[0].lines[0].get_ydata().tolist() == [0, 1, 2]
    figure = viz.scatter([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])], ["left", "right"])
    assert [(ax.lines[0].get_xdata()[0], ax.lines[0].get_ydata()[0]) for ax in figure.axes] == [(1, 2), (3, 4)]


def test_densities_are_filled_and_share_one_legend():
    x = torch.linspace(0, 1, 5)
    figure = viz.densities(x, [{"low": x, "high": 2 * x}, {"low": 3 * x}], ["left", "right"])
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["low", "high"] and len(left.collections) == 2
    assert right.lines[0].get_ydata()[-1] == 3 and right.get_title() == "right"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["low", "high"]


def test_bits_per_step_has_bars_for_the_first_and_lines_for_the_others():
    cost = torch.tensor([1.0, 0.1, 0.01])
    figure = viz.bits_per_step({"a": cost, "b": 2 * cost}, {"w": cost, "u": cost})
    left, right = figure.axes
    assert [bar.get_height() for bar in left.patches] == pytest.approx(cost.tolist())
    assert left.lines[0].get_ydata().tolist() == (2 * cost).tolist()
    assert left.lines[0].get_xdata().tolist() == right.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_chains_are_shown_where_they_are_and_one_leaves_a_trace():
    states = torch.arange(12.0).reshape(3, 2, 2).double() / 10  # three states of two chains
    figure = viz.chains(lambda x: -x.square().sum(1), {"walk": states, "still": 0 * states}, at=(0, 2))
    first, last = figure.axes[:2]
    assert [ax.get_title() for ax in figure.axes] == ["0 moves", "2 moves", "", ""] and first.get_ylabel() == "walk"
    everyone, trace, now = last.lines
    assert everyone.get_xdata().tolist() == states[2, :, 0].tolist()
    assert trace.get_xdata().tolist() == states[:, 0, 0].tolist() and now.get_xdata().tolist() == [states[2, 0, 0]]


def test_panels_stand_side_by_side():
    x = torch.arange(3)
    figure = viz.panels((x, {"a": x}, "left", "t", False), (x, {"b": 2 * x, "c": x}, "right", "step", True))
    left, right = figure.axes
    assert (left.get_title(), left.get_xlabel(), left.get_yscale()) == ("left", "t", "linear")
    assert (right.get_xlabel(), right.get_yscale(), len(right.lines)) == ("step", "log", 2)


def test_vector_fields_point_along_the_field():
    points = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    figure = viz.vector_fields(points, [-points, points], [lambda x: -x.square().sum(1)] * 2, ["in", "out"])
    u = [[float(x) for x in ax.collections[0].U] for ax in figure.axes]
    assert u == [[1, -1], [-1, 1]]
    assert figure.axes[0].images[0].get_array().argmax() // 120 in (59, 60)  # the density is highest in the middle


def test_no_figure_stays_open():
    viz.strip([plain(1)])
    viz.compare(plain(0), plain(1), np.zeros((4, 5)), ("a", "b"))
    assert plt.get_fignums() == []


def test_the_source_that_is_shown_is_the_one_that_runs(monkeypatch):
    display = pytest.importorskip("IPython.display")
    seen = []
    monkeypatch.setattr(display, "display", lambda thing: seen.append(thing.data))
    viz.show_source(classifier_free)
    first, _, text = seen[0].partition("\n")
    assert first.startswith("`minidiffusion/diffusion/guidance.py`, line ")
    assert "def classifier_free(" in text and "return guided" in text and text.endswith("\n```")


@pytest.mark.parametrize("thing", [viz.strip, Action.check], ids=["function", "method"])
def test_shown_source_is_indented_as_in_its_file(monkeypatch, thing):
    display = pytest.importorskip("IPython.display")
    seen = []
    monkeypatch.setattr(display, "display", lambda shown: seen.append(shown.data))
    viz.show_source(thing)
    first, second, *_ = seen[0].partition("```python\n")[2].splitlines()
    assert first.startswith("def ") and second.startswith('    r"""')


def test_of_an_action_the_function_is_shown(monkeypatch):
    display = pytest.importorskip("IPython.display")
    seen = []
    monkeypatch.setattr(display, "display", lambda thing: seen.append(thing.data))
    viz.show_source(vary)
    first, _, text = seen[0].partition("\n")
    assert first.startswith("`minidiffusion/actions/vary.py`, line ")
    assert "@action(" in text and "def vary(" in text and "return model.generate(" in text
