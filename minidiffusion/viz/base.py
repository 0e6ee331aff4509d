r"""What every figure is made of: colours, pixels, bare axes, curves."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

Image = PIL.Image.Image | np.ndarray | Tensor

ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip


def pixels(image: Image) -> np.ndarray:
    r"""A picture for matplotlib, `h w 3` in 0..255: from PIL, such an array, or a tensor `3 h w` in [-1, 1]."""
    if isinstance(image, Tensor):
        image = ((image.detach().cpu().float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return np.asarray(image)


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


def bare(ax: Axes) -> Axes:
    r"""Axes without ticks and without a frame, for pictures."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def done(figure: Figure) -> Figure:
    r"""The figure, which pyplot forgets: a notebook shows it once, and nothing piles up in memory."""
    plt.close(figure)
    return figure
