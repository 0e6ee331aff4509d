r"""Figures for the lessons. The only room that imports matplotlib.

Every function returns a matplotlib Figure that pyplot has already forgotten: a notebook shows it once, as the value of
the cell, and nothing piles up in memory. Colour-blind eyes tell the colours apart as well (Okabe & Ito 2008, viridis).
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

Image = PIL.Image.Image | np.ndarray | Tensor

ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip


def show_source(thing: Callable | type) -> None:
    r"""Shows the source of a function or class as it stands in its file: what a lesson talks about is what runs."""
    from IPython.display import Markdown, display  # only notebooks have it

    thing = inspect.unwrap(thing)  # type checks are wrapped around it while tests run
    lines, start = inspect.getsourcelines(thing)
    path = Path(inspect.getsourcefile(thing) or "")
    room = Path(*path.parts[path.parts.index(thing.__module__.partition(".")[0]) :])
    display(Markdown(f"`{room.as_posix()}`, line {start}\n\n```python\n{inspect.cleandoc(''.join(lines))}\n```"))


def pixels(image: Image) -> np.ndarray:
    r"""A picture for matplotlib, `h w 3` in 0..255: from PIL, such an array, or a tensor `3 h w` in [-1, 1]."""
    if isinstance(image, Tensor):
        image = ((image.detach().cpu().float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return np.asarray(image)


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
            _bare(axes[i, j])
            if j < len(row):
                axes[i, j].imshow(pixels(row[j]), interpolation="nearest")
    for j, title in enumerate(column_titles):
        axes[0, j].set_title(title, fontsize=9)
    for i, title in enumerate(row_titles):
        axes[i, 0].set_ylabel(title, fontsize=9)
    return _done(figure)


def compare(a: Image, b: Image, difference: np.ndarray, titles: tuple[str, str], side: float = 2.2) -> Figure:
    r"""Two pictures and how far they are apart, pixel by pixel: `difference` is `h w`, in 0 (the same) .. 1."""
    figure, axes = plt.subplots(1, 3, figsize=(3.3 * side, 1.15 * side), layout="constrained")
    for ax, image, title in zip(axes, (a, b), titles, strict=False):
        ax.imshow(pixels(image), interpolation="nearest")
        ax.set_title("\n".join(textwrap.fill(line, 30) for line in title.split("\n")), fontsize=9)
    heat = axes[2].imshow(difference, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes[2].set_title(f"difference, mean {difference.mean():.3f}", fontsize=9)
    for ax in axes:
        _bare(ax)
    figure.colorbar(heat, ax=axes[2], label="0 = the same, 1 = black to white", shrink=0.9)
    return _done(figure)


def curves(
    ax: Axes,
    x: np.ndarray | Tensor,
    ys: Mapping[str, np.ndarray | Tensor],
    title: str,
    xlabel: str = "t",
    log: bool = False,
) -> Axes:
    r"""Lines over x with a legend, each in a colour and a dash of its own."""
    styles = zip((BLUE, VERMILION, GREEN, ORANGE, PURPLE), ("-", "--", "-.", ":", (0, (5, 1))), strict=True)
    for (label, y), (colour, dash) in zip(ys.items(), styles, strict=False):
        ax.plot(np.asarray(x), np.asarray(y), color=colour, linestyle=dash, label=label)
    if log:
        ax.set_yscale("log")
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(xlabel, fontsize=9)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8)
    return ax


def destruction(
    images: Sequence[Image], times: Sequence[int], alpha_bar: Mapping[str, Tensor], snr: Mapping[str, Tensor]
) -> Figure:
    r"""A picture on its way to noise, and below it why: how much signal each schedule keeps (`T+1` values each)."""
    figure = plt.figure(figsize=(1.35 * len(images), 4.2), layout="constrained")
    top, bottom = figure.add_gridspec(2, 1, height_ratios=[1.35, 2.4])
    row = top.subgridspec(1, len(images))
    for column, (image, t) in enumerate(zip(images, times, strict=True)):
        ax = _bare(figure.add_subplot(row[column]))
        ax.imshow(pixels(image), interpolation="nearest")
        ax.set_title(f"t = {t}", fontsize=9)
    left, right = bottom.subgridspec(1, 2)
    t = np.arange(len(next(iter(alpha_bar.values()))))
    curves(figure.add_subplot(left), t, alpha_bar, "alpha_bar: the share of the variance that is signal")
    within = {name: y.where((y < 1e4) & (y > 1e-4), torch.nan) for name, y in snr.items()}
    ax = curves(figure.add_subplot(right), t, within, "signal-to-noise ratio alpha^2 / sigma^2", log=True)
    ax.axhline(1, color="grey", linewidth=0.8)
    return _done(figure)


def lines(x: np.ndarray | Tensor, ys: Mapping[str, np.ndarray | Tensor], title: str, xlabel: str = "t") -> Figure:
    r"""One plot of `curves`."""
    figure, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
    curves(ax, x, ys, title, xlabel)
    return _done(figure)


def scatter(clouds: Sequence[Tensor], titles: Sequence[str], side: float = 1.6, limit: float = 3.0) -> Figure:
    r"""Clouds of points in the plane, `n 2` each, side by side on the same axes."""
    size = (side * len(clouds), 1.2 * side)
    figure, axes = plt.subplots(1, len(clouds), figsize=size, squeeze=False, layout="constrained")
    for ax, cloud, title in zip(axes[0], clouds, titles, strict=True):
        ax.plot(*np.asarray(cloud).T, ".", markersize=1, color=BLUE)
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
    return _done(figure)


def arrows(
    points: Tensor, fields: Sequence[Tensor], log_probs: Sequence[Callable[[Tensor], Tensor]], titles: Sequence[str]
) -> Figure:
    r"""Vector fields at the points `n 2`, each over its density. Four times as strong is drawn twice as long."""
    figure, axes = plt.subplots(1, len(fields), figsize=(2.6 * len(fields), 2.8), squeeze=False, layout="constrained")
    limit = points.abs().max().item()
    side = torch.linspace(-limit, limit, 120, dtype=points.dtype)
    y, x = torch.meshgrid(side, side, indexing="ij")
    for ax, field, log_prob, title in zip(axes[0], fields, log_probs, titles, strict=True):
        density = log_prob(torch.stack([x.flatten(), y.flatten()], dim=1)).exp().reshape(x.shape)
        ax.imshow(density.numpy(), extent=(-limit, limit, -limit, limit), origin="lower", cmap="Blues")
        shown = field / field.norm(dim=1, keepdim=True).sqrt()
        ax.quiver(*points.T.numpy(), *shown.T.numpy(), color=VERMILION, width=0.006)
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
    return _done(figure)


def prompt_path(
    tokens: Sequence[tuple[str, int]], states: Sequence[Image], guesses: Sequence[Image], titles: Sequence[str]
) -> Figure:
    r"""A prompt on its way to a picture. On top its tokens with their ids; below, in columns from noise to picture,
    what the sampler holds (`states`) and the clean picture it heads for (`guesses`).
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
            ax = _bare(figure.add_subplot(spec[row, column]))
            ax.imshow(pixels(image), interpolation="nearest")
            if row == 1:
                ax.set_title(titles[column], fontsize=9)
            if column == 0:
                ax.set_ylabel(label, fontsize=9)
    return _done(figure)


def _bare(ax: Axes) -> Axes:
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def _done(figure: Figure) -> Figure:
    plt.close(figure)
    return figure
