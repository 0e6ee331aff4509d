r"""Pictures in rows and columns, the difference of two, and the denoising steps from a prompt to its picture."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .base import BLUE, Image, bare, done, pixels


def strip(images: Sequence[Image], titles: Sequence[str] = (), side: float = 1.5) -> Figure:
    r"""Pictures in one row, each `side` inches wide, with a title over each."""
    return grid([images], column_titles=titles, side=side)


def grid(
    rows: Sequence[Sequence[Image]],
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    side: float = 1.5,
) -> Figure:
    r"""Rows of pictures of one size, with titles at the left and on top. Pixels stay squares: nothing is smoothed."""
    columns = max(map(len, rows))
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(columns * side, len(rows) * side), squeeze=False, layout="constrained"
    )
    for i, row in enumerate(rows):
        for j in range(columns):
            bare(axes[i, j])
            if j < len(row):
                axes[i, j].imshow(pixels(row[j]), interpolation="nearest")
    for j, title in enumerate(column_titles):
        axes[0, j].set_title(title, fontsize=9)
    for i, title in enumerate(row_titles):
        axes[i, 0].set_ylabel(title, fontsize=9)
    return done(figure)


def compare(a: Image, b: Image, difference: np.ndarray, titles: tuple[str, str], side: float = 2.2) -> Figure:
    r"""Two pictures and how far they are apart, pixel by pixel: `difference` is `h w`, in 0 (the same) .. 1."""
    figure, axes = plt.subplots(1, 3, figsize=(3.3 * side, 1.15 * side), layout="constrained")
    for ax, image, title in zip(axes, (a, b), titles, strict=False):
        ax.imshow(pixels(image), interpolation="nearest")
        ax.set_title("\n".join(textwrap.fill(line, 30) for line in title.split("\n")), fontsize=9)
    heat = axes[2].imshow(difference, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes[2].set_title(f"difference, mean {difference.mean():.3f}", fontsize=9)
    for ax in axes:
        bare(ax)
    figure.colorbar(heat, ax=axes[2], label="0 = the same, 1 = black to white", shrink=0.9)
    return done(figure)


def denoising_steps(
    tokens: Sequence[tuple[str, int]], states: Sequence[Image], guesses: Sequence[Image], titles: Sequence[str]
) -> Figure:
    r"""From a prompt to a picture. On top its tokens with their ids; below, in columns from noise to picture, the
    sampler's x_t (`states`) and its x0_hat (`guesses`).
    """
    columns = len(states)
    figure = plt.figure(figsize=(1.45 * columns, 4.1), layout="constrained")
    spec = figure.add_gridspec(3, columns, height_ratios=[0.5, 1.45, 1.45])
    top = figure.add_subplot(spec[0, :])
    top.axis("off")
    widths = np.array([len(text) + 3 for text, _ in tokens])  # in letters, with room for the box
    centres = (widths.cumsum() - widths / 2) / widths.sum()
    for x, (text, number) in zip(centres, tokens, strict=True):
        at = {"x": x, "ha": "center", "va": "center", "transform": top.transAxes}
        top.text(y=0.75, s=text, fontsize=8, bbox={"boxstyle": "round", "fc": "white", "ec": BLUE}, **at)
        top.text(y=0.15, s=str(number), fontsize=8, color=BLUE, **at)
    for row, (images, label) in enumerate([(states, "what the sampler holds"), (guesses, "where it is heading")], 1):
        for column, image in enumerate(images):
            ax = bare(figure.add_subplot(spec[row, column]))
            ax.imshow(pixels(image), interpolation="nearest")
            if row == 1:
                ax.set_title(titles[column], fontsize=9)
            if column == 0:
                ax.set_ylabel(label, fontsize=9)
    return done(figure)
