r"""A picture faded by attention: as it is where the weight is largest, white where it is 0."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest

from minidiffusion.viz.word_maps import COLUMNS, word_maps

matplotlib.use("agg")


@pytest.fixture
def image():
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 200, (8, 12, 3), dtype=np.uint8))


def test_a_place_is_as_faded_as_its_weight_is_small(image):
    map_ = np.array([[0.2, 0.0, 0.1], [0.05, 0.0, 0.0]], dtype=np.float32)
    axes = word_maps(image, [("red", map_)]).axes
    picture, faded = (np.asarray(ax.images[0].get_array(), dtype=float) for ax in axes[:2])
    np.testing.assert_array_equal(picture, np.asarray(image))
    for row in range(8):
        for column in range(12):
            clear = map_[row // 4, column // 4] / 0.2
            expected = clear * picture[row, column] + (1 - clear) * 255
            np.testing.assert_allclose(faded[row, column], expected, atol=0.51)  # rounded to whole greys
    assert axes[1].get_title() == "red 0.200"


def test_words_come_in_order_and_rows_and_what_the_font_lacks_is_a_number(image):
    words = ["a", "red", "红色", "house", "by", "the", "sea"]
    maps = [(word, np.full((2, 3), 0.001 * i, dtype=np.float32)) for i, word in enumerate(words, start=1)]
    figure = word_maps(image, maps)
    assert len(figure.axes) == 2 * COLUMNS  # the last ones are empty
    titles = [ax.get_title() for ax in figure.axes if ax.images]
    assert titles == ["the picture", *(f"{w if w != '红色' else 'word 3'} 0.00{i}" for i, w in enumerate(words, 1))]


def test_no_figure_stays_open(image):
    word_maps(image, [("red", np.ones((2, 3), dtype=np.float32))])
    assert plt.get_fignums() == []
