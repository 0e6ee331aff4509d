"""The story board: every panel in its place, with its picture or its words, and with its whole line."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from minidiffusion.viz.storyboard import Panel, storyboard

matplotlib.use("agg")

PICTURE, WIDE = np.full((8, 8, 3), 7, np.uint8), np.full((8, 16, 3), 9, np.uint8)
LINE = "[wider] = pan(model, house, [5], 'right', 'a meadow at day, storybook')"
PANELS = [
    Panel("imagine", "four = imagine(model, PROMPT, range(4))", PICTURE),
    Panel("pan", LINE, WIDE),
    Panel("describe", "words = describe(model, house.image)[0]", "a small red house by the sea"),
]


@pytest.fixture(scope="module")
def axes():
    return storyboard(PANELS, columns=2).axes


def test_panels_run_row_by_row_and_are_numbered(axes):
    assert len(axes) == 4
    assert [ax.get_title(loc="left") for ax in axes] == ["1  imagine", "2  pan", "3  describe", ""]
    boxes = [ax.get_position() for ax in axes]
    assert boxes[0].x1 < boxes[1].x0 and boxes[2].y1 < boxes[0].y0


def test_a_panel_shows_its_picture_whole_and_unchanged(axes):
    for ax, panel in zip(axes[:2], PANELS, strict=False):
        [image] = ax.images
        np.testing.assert_array_equal(image.get_array(), panel.shown)
        assert ax.get_aspect() == 1  # pixels stay squares, in a wide picture too


def test_words_are_shown_as_words(axes):
    assert not axes[2].images
    assert " ".join(axes[2].texts[0].get_text().split()) == PANELS[2].shown


def test_a_line_is_folded_to_its_panel_and_nothing_of_it_is_lost(axes):
    labels = [ax.xaxis.label for ax in axes[:3]]
    assert [" ".join(label.get_text().split()) for label in labels] == [panel.line for panel in PANELS]
    FigureCanvasAgg(axes[0].figure).draw()
    left, right, below = (label.get_window_extent() for label in labels)
    assert left.x1 < right.x0 and right.x1 < axes[0].figure.bbox.x1
    assert min(left.y0, right.y0) > below.y1


def test_a_long_line_does_not_reach_the_title_below_it():
    long, short = Panel("repaint", 2 * LINE, PICTURE), Panel("zoom", "zoom()", PICTURE)
    above, _, below, _ = storyboard([long, short, short, short], columns=2, side=1.45).axes
    FigureCanvasAgg(above.figure).draw()
    assert above.xaxis.label.get_window_extent().y0 > below.get_tightbbox().y1


def test_no_figure_stays_open(axes):
    assert plt.get_fignums() == []
