r"""Figures of a fused kernel: tiles where they were loaded, states as they were then."""

import io
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest
import torch
from matplotlib.colors import to_hex

from minidiffusion.viz import tiles
from minidiffusion.viz.base import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

matplotlib.use("agg")

M, N, D, BLOCK = 5, 7, 2, 3


class Access(NamedTuple):
    """As much of `minidiffusion_kernels.traffic.Access` as is looked at."""

    program: tuple[int, int, int]
    tensor: str
    shape: tuple[int, ...]
    offsets: np.ndarray


class Cost(NamedTuple):
    least: int
    asked: int | None
    largest: int


def merge(peak, total, weighted, scores, values):
    """A running softmax that needs no care, as the scores are small: peak is 0 from the first tile on."""
    p = scores.exp()
    return torch.zeros_like(peak), total + p.sum(1), weighted + p @ values


def stream(causal=False):
    """What a fused kernel does: its queries once, tiles of keys and values as far as they can be seen, its result."""

    def touch(program, tensor, first, count):
        length = N if tensor in "kv" else M
        last = min(first + count, length)
        return Access((program, 0, 0), tensor, (1, 1, length, D), np.arange(first * D, last * D))

    for program, first in enumerate(range(0, M, BLOCK)):
        yield touch(program, "q", first, BLOCK)
        for n in range(0, min(first + BLOCK, M) if causal else N, BLOCK):
            yield touch(program, "k", n, BLOCK)
            yield touch(program, "v", n, BLOCK)
        yield touch(program, "o", first, BLOCK)
        yield Access((program, 0, 0), "L", (1, 1, M), np.arange(first, min(first + BLOCK, M)))


def inputs():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, D, generator=generator) for length in (M, N, N)]


def film(causal=False):
    return tiles.replay(stream(causal), *inputs(), merge, causal=causal)


def boxes(ax, colour):
    """x, y, width, height of the rectangles of a colour."""
    found = [box for box in ax.patches if to_hex(box.get_facecolor(), True) == to_hex(colour, True)]
    return [(*box.get_xy(), box.get_width(), box.get_height()) for box in found]


def test_a_frame_for_each_tile_of_keys_and_each_store():
    frames = film().frames
    seen = [(f.program, f.queries, f.keys) for f in frames]
    keys = [range(0, 3), range(3, 6), range(6, 7), range(0)]
    assert seen == [(0, range(0, 3), tile) for tile in keys] + [(1, range(3, 5), tile) for tile in keys]
    assert film().block == BLOCK


@pytest.mark.parametrize("causal", [False, True])
def test_at_the_store_a_program_holds_the_softmax_of_all_that_it_loaded(causal):
    q, k, v = inputs()
    exact = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    stored = [frame for frame in film(causal).frames if not frame.keys]
    assert [frame.queries for frame in stored] == [range(0, 3), range(3, 5)]
    torch.testing.assert_close(torch.cat([frame.output for frame in stored]), exact)


def test_half_way_it_holds_that_of_the_keys_so_far():
    q, k, v = inputs()
    exact = torch.nn.functional.scaled_dot_product_attention(q[:3], k[:6], v[:6])
    torch.testing.assert_close(film().frames[1].output, exact)


def test_what_is_lit_is_what_the_frame_says():
    _, ax = plt.subplots()
    tiles.draw(ax, film(), 6)  # program 1, the last tile: queries 3 and 4, key 6; program 0 has stored
    [q], [k], [v], [o] = (boxes(ax, colour) for colour in (BLUE, GREEN, ORANGE, PURPLE))
    assert (q[1], q[3]) == (3, 2) and (k[0], k[2]) == (v[0], v[2]) == (6, 1) and (o[1], o[3]) == (0, 3)
    assert [(y, height) for _, y, _, height in boxes(ax, VERMILION)] == [(3, 2), (3, 2)]  # peak and total
    [tile] = ax.images
    assert tile.get_extent() == [6, 7, 5, 3]  # rows run downwards
    frame = film().frames[6]
    np.testing.assert_allclose(tile.get_array(), frame.scores.exp(), rtol=1e-6)
    assert ax.get_title() == "program 1: keys 6 to 6"
    ax.clear()
    tiles.draw(ax, film(), 7)
    assert not ax.images and not boxes(ax, BLUE) and len(boxes(ax, PURPLE)) == 2
    assert ax.get_title() == "program 1: stores rows 3 to 4"
    plt.close("all")


def test_a_film_shows_the_frames_asked_for_and_traces_queries_of_one_program():
    *panels, peak, total, output = tiles.film(film(), shown=[0, 3, 5, 7], traced=[4, 3]).axes
    assert [ax.get_title() for ax in panels] == [
        "program 0: keys 0 to 2",
        "program 0: stores rows 0 to 2",
        "program 1: keys 3 to 5",
        "program 1: stores rows 3 to 4",
    ]
    frames = film().frames[4:7]
    for ax, kept in ((peak, "peak"), (total, "total")):
        for line, row in zip(ax.lines, (1, 0), strict=True):
            assert line.get_xdata().tolist() == [3, 6, 7]
            np.testing.assert_allclose(line.get_ydata(), [getattr(f, kept)[row] for f in frames])
    np.testing.assert_allclose(output.lines[0].get_ydata(), [f.output[1, 0] for f in frames])
    assert [text.get_text() for text in peak.get_legend().get_texts()] == ["query 4", "query 3"]


def test_an_animation_has_all_frames():
    picture = PIL.Image.open(io.BytesIO(tiles.animation(film(), seconds=0.5)))
    assert (picture.format, picture.n_frames, picture.info["duration"]) == ("GIF", 8, 500)
    seen = set()
    for i in range(8):
        picture.seek(i)
        seen.add(picture.convert("RGB").tobytes())
    assert len(seen) == 8


def test_visits_number_the_tiles_and_tell_those_that_need_a_mask():
    whole, causal = tiles.tile_order({"all": film(), "causal": film(causal=True)}).axes
    assert [text.get_text() for text in whole.texts] == ["1", "2", "3", "4", "5", "6"]
    assert [box[:2] for box in boxes(whole, ORANGE)] == [(6, 0), (6, 3)]  # ragged
    assert [box[:2] for box in boxes(causal, ORANGE)] == [(0, 0), (3, 3)]  # the diagonal
    assert [box[:2] for box in boxes(causal, SKY)] == [(0, 3)]
    assert (whole.get_title(), causal.get_title()) == ("all", "causal")


def test_bars_are_as_long_as_the_costs_and_unknown_ones_are_left_out():
    left, right = tiles.memory_costs({"a": Cost(2000, None, 5000), "b": Cost(1000, 3000, 4000)}).axes
    asked, least = ([bar.get_width() for bar in group] for group in left.containers)
    assert np.isnan(asked[0]) and asked[1] == 3 and least == [2, 1]
    assert [bar.get_width() for bar in right.patches] == [5, 4]
    assert [text.get_text() for text in left.texts] == ["3", "2", "1"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    assert (left.get_xscale(), right.get_xscale()) == ("log", "log")


def test_no_figure_stays_open():
    tiles.film(film(), [0], [0])
    tiles.animation(film())
    tiles.tile_order({"all": film()})
    tiles.memory_costs({"a": Cost(1, 1, 1)})
    assert plt.get_fignums() == []
