r"""CLIP's space of pictures and sentences: matrices of cosine similarities, and what was retrieved for a query."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .attention import Captioned
from .base import BLUE, VERMILION, Image, bare, done, pixels


def similarity_matrices(cosines: Mapping[str, Tensor], images: Sequence[Image], sentences: Sequence[str]) -> Figure:
    r"""Cosines `n n`, [i, j] of picture i and sentence j, side by side: a column for each picture, a row for each
    sentence.

    Every matrix has a scale of its own, since one in which all cosines are nearly equal would be a single colour; its
    ends are written below. A frame in each column marks the sentence that the picture is nearest to.
    """
    n, k = len(images), len(cosines)
    figure = plt.figure(figsize=(3.1 + 3.0 * k, 4.2), layout="constrained")
    grid = figure.add_gridspec(2, k * n, height_ratios=[1, n])
    for block, (title, matrix) in enumerate(cosines.items()):
        for i, image in enumerate(images):
            bare(figure.add_subplot(grid[0, block * n + i])).imshow(pixels(image), interpolation="nearest")
        ax = figure.add_subplot(grid[1, block * n : (block + 1) * n])
        ax.imshow(matrix.T.numpy(), cmap="viridis", aspect="auto", interpolation="nearest")
        for i, j in enumerate(matrix.argmax(dim=1).tolist()):
            colour = BLUE if i == j else VERMILION
            ax.add_patch(Rectangle((i - 0.45, j - 0.45), 0.9, 0.9, fill=False, edgecolor=colour, linewidth=2))
        ax.set(xticks=[], yticks=range(n))
        ax.set_yticklabels([textwrap.fill(sentence, 46) for sentence in sentences] if block == 0 else [], fontsize=8)
        ax.tick_params(length=0)
        ax.set_xlabel(f"{title}\ncosine {matrix.min():.2f} (dark) to {matrix.max():.2f} (bright)", fontsize=9)
    return done(figure)


def retrieved(rows: Mapping[str, Sequence[Captioned]], side: float = 1.1) -> Figure:
    r"""What was retrieved: a row for each query, which stands at its left; each picture under a caption of its own."""
    columns = max(map(len, rows.values()))
    size = ((columns + 2) * side, len(rows) * (side + 0.2))
    figure, axes = plt.subplots(
        len(rows), columns + 1, figsize=size, squeeze=False, width_ratios=[1.7, *[1] * columns], layout="constrained"
    )
    for (query, pictures), (words, *line) in zip(rows.items(), axes, strict=True):
        bare(words).text(0, 0.5, textwrap.fill(query, 22), fontsize=9, va="center", transform=words.transAxes)
        for ax in line:
            bare(ax)
        for ax, (image, caption) in zip(line, pictures, strict=False):
            ax.imshow(pixels(image), interpolation="nearest")
            ax.set_title(caption, fontsize=8)
    return done(figure)
