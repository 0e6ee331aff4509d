r"""Attention on pictures: frames around places, captions, and matrices of attention weights."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .base import Image, bare, done, pixels

Captioned = tuple[Image, str]


def framed(image: Image, place: int, places: int) -> np.ndarray:
    r"""The picture with a frame, black in white, around one of places x places squares, counted row by row."""
    picture = pixels(image).copy()
    side = len(picture) // places
    top, left = side * (place // places), side * (place % places)
    for inset, colour in ((0, 255), (1, 0)):
        square = picture[top + inset : top + side - inset, left + inset : left + side - inset]
        square[[0, -1]] = colour
        square[:, [0, -1]] = colour
    return picture


def captioned(rows: Sequence[Sequence[Captioned]], row_titles: Sequence[str] = (), side: float = 1.3) -> Figure:
    r"""Rows of pictures, each under a caption of its own."""
    columns = max(map(len, rows))
    size = (columns * side, len(rows) * (side + 0.25))
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for row, line in zip(rows, axes, strict=True):
        for ax in line:
            bare(ax)
        for ax, (image, caption) in zip(line, row, strict=False):
            ax.imshow(pixels(image), interpolation="nearest")
            ax.set_title(caption, fontsize=9)
    for ax, title in zip(axes[:, 0], row_titles, strict=False):
        ax.set_ylabel(title, fontsize=9)
    return done(figure)


def matrices(
    weights: Sequence[Tensor], titles: Sequence[str], queries: Sequence[str], keys: Sequence[str], side: float = 2.9
) -> Figure:
    r"""Attention maps `m n` side by side: a row for each query, a column for each key, all on the scale 0..1."""
    size = (len(weights) * side + 1, 1.1 * side)
    figure, axes = plt.subplots(1, len(weights), figsize=size, squeeze=False, sharey=True, layout="constrained")
    for ax, map_, title in zip(axes[0], weights, titles, strict=True):
        heat = ax.imshow(map_.cpu().numpy(), vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        ax.set_xticks(range(len(keys)), keys, rotation=90)
        ax.set_yticks(range(len(queries)), queries)
        ax.tick_params(labelsize=8, length=0)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("keys", fontsize=9)
    axes[0, 0].set_ylabel("queries", fontsize=9)
    figure.colorbar(heat, ax=axes[0, -1], label="weight; each row adds up to 1", shrink=0.9)
    return done(figure)
