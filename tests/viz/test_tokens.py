"""The drawings of tokens: every number at its place, on one scale, and nothing shown before it is sampled."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from minidiffusion.viz.tokens import token_by_token, token_maps

matplotlib.use("agg")

PICTURES = torch.linspace(-1, 1, 3 * 3 * 8 * 8).view(3, 3, 8, 8)
MAPS = {"a": torch.arange(12.0).view(3, 2, 2), "b": torch.arange(12.0).view(3, 2, 2) / 2}
BITS = torch.tensor([0.0, 3.0, 1.0, 5.5, 2.0, 0.5])


def drawn(row):
    return [ax.images[0].get_array() for ax in row]


def test_each_map_stands_below_its_picture():
    figure = token_maps(list(PICTURES), MAPS, "bits")
    axes = figure.axes[:9]
    np.testing.assert_array_equal(drawn(axes[:3])[2], ((PICTURES[2] + 1) * 127.5).round().byte().permute(1, 2, 0))
    for row, values in zip((axes[3:6], axes[6:9]), MAPS.values(), strict=True):
        np.testing.assert_array_equal(drawn(row), values)
    assert [axes[3].get_ylabel(), axes[6].get_ylabel(), figure.axes[9].get_ylabel()] == ["a", "b", "bits"]


@pytest.mark.parametrize(("shift", "limits"), [(0, (0, 11)), (-5, (-6, 6))])
def test_all_maps_have_one_scale_and_0_is_its_middle_if_there_are_negative_values(shift, limits):
    figure = token_maps(list(PICTURES), {"a": MAPS["a"] + shift, "b": MAPS["b"]}, "bits")
    assert {ax.images[0].get_clim() for ax in figure.axes[3:9]} == {limits}


def test_a_frame_shows_nothing_before_it_is_written():
    frames = token_by_token(list(PICTURES), BITS).axes[:3]
    for ax, written in zip(frames, (8 / 3, 16 / 3, 8), strict=True):
        [cover] = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        assert (cover.get_y(), cover.get_y() + cover.get_height()) == pytest.approx((written - 0.5, 7.5))
    assert [ax.get_title() for ax in frames] == ["2 tokens", "4 tokens", "6 tokens"]


def test_bars_and_map_have_the_surprise_of_every_token():
    _, _, _, bars, heat, *_ = token_by_token(list(PICTURES), BITS).axes
    boxes = [patch for patch in bars.patches if isinstance(patch, Rectangle)]
    assert [box.get_height() for box in boxes] == BITS.tolist()
    assert [box.get_x() + box.get_width() / 2 for box in boxes] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    np.testing.assert_array_equal(heat.images[0].get_array(), BITS.view(3, 2))
    shade = heat.images[0].to_rgba(BITS.numpy())
    np.testing.assert_array_equal(np.array([box.get_facecolor() for box in boxes]), shade)


def test_the_right_hand_scale_says_the_probability():
    *_, bars, _, _ = token_by_token(list(PICTURES), BITS).axes
    [odds] = bars.child_axes
    assert [label.get_text() for label in odds.get_yticklabels()] == ["1", "1/4", "1/16"]
    assert list(odds.get_yticks()) == [0, 2, 4]


def test_no_figure_stays_open():
    token_maps(list(PICTURES), MAPS, "bits")
    token_by_token(list(PICTURES), BITS)
    assert plt.get_fignums() == []
