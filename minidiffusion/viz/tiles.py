r"""A fused attention kernel, tile by tile, from the addresses that it accessed (`minidiffusion_kernels.traffic`).

`replay` turns the stream of accesses into frames, one for each tile of keys that a program meets; the numbers that a
program keeps in registers leave no address, so they are computed again, by a function that the reader may have written.
`film` shows some of the frames beside each other, `animation` all of them in turn.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .base import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, bare, done

IDLE, GAP, THICK = "#E4E4E4", 2, 8  # memory that is not touched; distances in the drawing, in rows
State = tuple[Tensor, Tensor, Tensor]  # peak `m`, total `m`, weighted `m d`
Merge = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], State]  # a state, scores `m n`, values `n d` -> a state


class Frame(NamedTuple):
    r"""A program after a tile of keys, or, if `keys` is empty, after its result is stored."""

    program: int
    queries: range
    keys: range
    scores: Tensor  # of the tile, -inf where the query may not see the key
    peak: Tensor  # so far, and so are
    total: Tensor
    output: Tensor  # weighted / total


class Film(NamedTuple):
    m: int
    n: int
    frames: list[Frame]

    @property
    def block(self) -> int:
        return max(len(frame.keys) for frame in self.frames)


def replay(stream: Iterable[Any], q: Tensor, k: Tensor, v: Tensor, merge: Merge, causal: bool = False) -> Film:
    r"""Frames from the accesses of a kernel with parameters q, k, v, o, one program after the other, on one head.

    stream: `Traffic.stream`. q: `m d`, k and v: `n d`.
    """
    scores = q @ k.T / q.shape[1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, float("-inf"))
    frames, queries, keys, state = [], range(0), range(0), (q[:0, 0], q[:0, 0], q[:0])
    for access in stream:
        if access.tensor not in ("q", "k", "v", "o"):
            continue
        row = np.unravel_index(access.offsets, access.shape)[-2]
        rows = range(int(row.min()), int(row.max()) + 1)
        if access.tensor == "q":
            queries = rows
            nothing = torch.zeros(len(queries), dtype=q.dtype)
            state = nothing - float("inf"), nothing, torch.zeros_like(q[queries.start : queries.stop])
            continue
        if access.tensor == "k":
            keys = rows
            continue
        keys = keys if access.tensor == "v" else range(0)
        tile = scores[queries.start : queries.stop, keys.start : keys.stop]
        if keys:
            state = merge(*state, tile, v[keys.start : keys.stop])
        peak, total, weighted = state
        frames.append(Frame(access.program[0], queries, keys, tile, peak, total, weighted / total[:, None]))
    return Film(len(q), len(k), frames)


def film(film: Film, shown: Sequence[int], traced: Sequence[int]) -> Figure:
    r"""Above, the frames `shown`. Below, what the program of the queries `traced` keeps of them, key by key."""
    figure = plt.figure(figsize=(9.2, 7.2), layout="constrained")
    above, below = (figure.add_subfigure(part) for part in figure.add_gridspec(2, 1, height_ratios=[2.05, 1]))
    panels = np.ravel(above.subplots(2, -(-len(shown) // 2)))
    for ax, i in zip(panels, shown, strict=False):
        draw(ax, film, i)
    for ax in panels[len(shown) :]:
        ax.set_axis_off()
    traces(list(below.subplots(1, 3)), film, traced)
    return done(figure)


def animation(film: Film, seconds: float = 0.9) -> bytes:
    r"""All frames in turn, as a GIF."""
    figure, ax = plt.subplots(figsize=(5.0, 3.5), dpi=100, layout="constrained")
    pictures = []
    for i in range(len(film.frames)):
        ax.clear()
        draw(ax, film, i)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        pictures.append(np.asarray(PIL.Image.open(buffer).convert("RGB")))
    done(figure)
    # One palette for all: a GIF then stores of each picture only what changed.
    height, width, _ = pictures[0].shape
    tall = PIL.Image.fromarray(np.concatenate(pictures)).quantize(32, dither=PIL.Image.Dither.NONE)
    first, *rest = (tall.crop((0, y, width, y + height)) for y in range(0, tall.height, height))
    buffer = io.BytesIO()
    first.save(buffer, format="gif", save_all=True, append_images=rest, duration=int(1000 * seconds), loop=0)
    return buffer.getvalue()


def draw(ax: Axes, film: Film, i: int) -> Axes:
    r"""Frame i: Q at the left, K and V above, what is kept and O at the right; what is lit was loaded or is held.

    Where the m x n matrix would be, the weights of the one tile that exists are shown, relative to the peak so far.
    """
    m, n, frame = film.m, film.n, film.frames[i]
    finished = [f.queries for f in film.frames[: i + 1] if not f.keys]
    q, k, v = -GAP - THICK, -GAP - THICK, -2 * GAP - 2 * THICK
    peak, total, o = n + GAP, n + 2 * GAP + 4, n + 4 * GAP + 8
    for name, x, width in (("Q", q, THICK), ("peak", peak, 4), ("total", total, 4), ("O", o, THICK)):
        box(ax, x, 0, width, m, IDLE)
        ax.text(x + width / 2, -1, name, ha="center", va="bottom", fontsize=8, rotation=90 if width == 4 else 0)
    for name, y in (("K", k), ("V", v)):
        box(ax, 0, y, n, THICK, IDLE)
        ax.text(-1.5, y + THICK / 2, name, ha="right", va="center", fontsize=8)
    ax.add_patch(Rectangle((0, 0), n, m, fill=False, edgecolor="#777777", linestyle=":", linewidth=0.8))
    for rows in finished:
        box(ax, o, rows.start, THICK, len(rows), PURPLE)
    rows, keys = frame.queries, frame.keys
    if keys:
        box(ax, q, rows.start, THICK, len(rows), BLUE)
        box(ax, keys.start, k, len(keys), THICK, GREEN)
        box(ax, keys.start, v, len(keys), THICK, ORANGE)
        box(ax, peak, rows.start, 4, len(rows), VERMILION)
        box(ax, total, rows.start, 4, len(rows), VERMILION)
        weights = (frame.scores - frame.peak[:, None]).exp().numpy()
        extent = (keys.start, keys.stop, rows.stop, rows.start)
        ax.imshow(weights, cmap="Blues", vmin=0, vmax=1.2, extent=extent, interpolation="nearest")
        box(ax, keys.start, rows.start, len(keys), len(rows), "none")
    ax.text(n / 2, m + 1, "m x n scores: one tile at a time", ha="center", va="top", fontsize=7, color="#555555")
    what = f"keys {keys.start} to {keys.stop - 1}" if keys else f"stores rows {rows.start} to {rows.stop - 1}"
    ax.set_title(f"program {frame.program}: {what}", fontsize=9)
    ax.set(xlim=(q - 1, o + THICK + 1), ylim=(m + 6, v - 1), aspect="equal")
    return bare(ax)


def box(ax: Axes, x: int, y: int, width: int, height: int, colour: str) -> None:
    ax.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="#555555", linewidth=0.6))


def traces(axes: Sequence[Axes], film: Film, queries: Sequence[int]) -> None:
    r"""Peak, total and the first number of the output of some queries of one program, after each tile of keys."""
    frames = [f for f in film.frames if f.keys and queries[0] in f.queries]
    seen = [f.keys.stop for f in frames]
    styles = zip(queries, ("black", "#555555", "#999999"), ("o", "s", "^"), strict=False)
    for query, colour, marker in styles:
        row = query - frames[0].queries.start
        kept = [[f.peak[row] for f in frames], [f.total[row] for f in frames], [f.output[row, 0] for f in frames]]
        for ax, y in zip(axes, kept, strict=True):
            ax.plot(seen, y, color=colour, marker=marker, markersize=4, linewidth=1.2, label=f"query {query}")
    titles = ("peak: largest score so far", "total: sum of exp(score - peak)", "weighted / total, first number")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("keys seen", fontsize=9)
        ax.set_xticks(seen)
        ax.tick_params(labelsize=8)
        ax.grid(alpha=0.25)
    axes[0].legend(fontsize=8)


def tile_order(films: Mapping[str, Film]) -> Figure:
    r"""The m x n scores of each film, in tiles, numbered in the order in which they were computed."""
    figure, axes = plt.subplots(1, len(films), figsize=(3.6 * len(films), 3.0), squeeze=False, layout="constrained")
    for ax, (title, film) in zip(axes[0], films.items(), strict=True):
        ax.add_patch(Rectangle((0, 0), film.n, film.m, facecolor="white", edgecolor="#777777", hatch="...", alpha=0.4))
        tiles = [frame for frame in film.frames if frame.keys]
        for i, f in enumerate(tiles):
            masked = len(f.keys) < film.block or bool(f.scores.isinf().any())
            box(ax, f.keys.start, f.queries.start, len(f.keys), len(f.queries), ORANGE if masked else SKY)
            ax.text(f.keys.start + len(f.keys) / 2, f.queries.start + len(f.queries) / 2, str(i + 1),
                    ha="center", va="center", fontsize=9)  # fmt: skip
        ax.set(xlim=(-1, film.n + 1), ylim=(film.m + 1, -1), aspect="equal")
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("key", fontsize=9)
        ax.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("query", fontsize=9)
    return done(figure)


def memory_costs(costs: Mapping[str, Any]) -> Figure:
    r"""What each version costs, on logarithmic axes: the bytes it moves, and those of the largest tensor it makes.

    costs: name -> `minidiffusion_kernels.attention.versions.cost.Cost`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 2.6), sharey=True, layout="constrained")
    y = np.arange(len(costs))
    least, asked, largest = (np.array([getattr(c, what) for c in costs.values()], dtype=float) / 1e3
                             for what in ("least", "asked", "largest"))  # fmt: skip
    left.barh(y - 0.2, asked, 0.38, color=SKY, label="asked for")
    left.barh(y + 0.2, least, 0.38, color=BLUE, label="the least")
    right.barh(y, largest, 0.5, color=ORANGE)
    for ax, groups in ((left, ((y - 0.2, asked), (y + 0.2, least))), (right, ((y, largest),))):
        for places, values in groups:
            for place, value in zip(places, values, strict=True):
                if np.isfinite(value):
                    ax.annotate(f"{value:,.0f}", (value, place), xytext=(3, 0), textcoords="offset points",
                                va="center", fontsize=7)  # fmt: skip
        shown = np.concatenate([values[np.isfinite(values)] for _, values in groups])
        ax.set(xscale="log", xlim=(shown.min() / 3, shown.max() * 2))
        ax.set_xlabel("kB", fontsize=9)
        ax.tick_params(labelsize=8)
    left.set_title("bytes to and from memory", fontsize=9)
    left.legend(fontsize=8, loc="lower right")
    right.set_title("the largest tensor made", fontsize=9)
    left.set_yticks(y, list(costs))
    left.invert_yaxis()
    return done(figure)
