"""Figures of CLIP: pictures are columns, sentences rows, and the sentence that wins is framed."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_hex

from minidiffusion.viz.base import BLUE, VERMILION
from minidiffusion.viz.clip import retrieved, similarity_matrices

matplotlib.use("agg")

WHITE, BLACK = torch.ones(3, 2, 2), -torch.ones(3, 2, 2)
COSINES = torch.tensor([[0.9, 0.1], [0.3, 0.2]])  # picture 0 finds its sentence, picture 1 takes that of picture 0


def test_sentences_are_rows_and_the_winner_of_each_picture_is_framed():
    figure = similarity_matrices({"before": COSINES, "after": torch.eye(2)}, [WHITE, BLACK], ["a house", "a cat"])
    first, second, before, third, fourth, after = figure.axes
    assert [ax.images[0].get_array().mean() for ax in (first, second, third, fourth)] == [255, 0, 255, 0]
    np.testing.assert_allclose(before.images[0].get_array(), COSINES.T)
    assert [label.get_text() for label in before.get_yticklabels()] == ["a house", "a cat"]
    frames = [(f.get_center().round().tolist(), to_hex(f.get_edgecolor()).upper()) for f in before.patches]
    assert frames == [([0, 0], BLUE), ([1, 0], VERMILION)]  # column, row
    assert [to_hex(frame.get_edgecolor()).upper() for frame in after.patches] == [BLUE, BLUE]
    assert before.get_xlabel() == "before\ncosine 0.10 (dark) to 0.90 (bright)"


def test_a_picture_stands_above_its_column():
    figure = similarity_matrices({"before": COSINES, "after": COSINES}, [WHITE, BLACK], ["a house", "a cat"])
    figure.canvas.draw()
    first, second, before, *_ = [ax.get_position() for ax in figure.axes]
    width = before.width / 2
    for k, picture in enumerate((first, second)):
        middle = (picture.x0 + picture.x1) / 2
        assert before.x0 + k * width < middle < before.x0 + (k + 1) * width and picture.y0 > before.y1


def test_what_was_found_stands_beside_its_query():
    figure = retrieved(
        {"a red house by the sea at night": [(WHITE, "0.93"), (BLACK, "0.80")], "a cat": [(BLACK, "0.70")]}
    )
    words, first, second, others, only, empty = figure.axes
    assert words.texts[0].get_text().replace("\n", " ") == "a red house by the sea at night"
    assert others.texts[0].get_text() == "a cat"
    assert [ax.images[0].get_array().mean() for ax in (first, second, only)] == [255, 0, 0]
    assert [ax.get_title() for ax in (first, second, only)] == ["0.93", "0.80", "0.70"]
    assert not empty.images and plt.get_fignums() == []
