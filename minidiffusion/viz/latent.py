r"""Latent spaces: codes in the plane, a codebook among its data, and interpolations between pictures."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from .base import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Image, bare, curves, done, pixels


def codes(panels: Mapping[str, Tensor], labels: Tensor) -> Figure:
    r"""Codes `n 2`, side by side, each drawn as the digit that it is the code of: no colour needs to be told apart."""
    size = (2.8 * len(panels), 2.9)
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for ax, (title, z) in zip(axes[0], panels.items(), strict=True):
        for digit in labels.unique().tolist():
            colour = (BLUE, VERMILION, GREEN, ORANGE, PURPLE)[digit % 5]
            ax.scatter(*z[labels == digit].T.numpy(), s=22, marker=f"${digit}$", color=colour, linewidths=0)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("first number of the code", fontsize=9)
        ax.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("second number", fontsize=9)
    return done(figure)


def codebooks(data: Tensor, panels: Mapping[str, Tensor]) -> Figure:
    r"""Data `n 2`, each joined to the nearest of the codes `k 2`. A code that nothing is joined to is a cross."""
    size = (2.7 * len(panels), 3.3)
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for ax, (title, e) in zip(axes[0], panels.items(), strict=True):
        nearest = torch.cdist(data, e).argmin(dim=1)
        living = torch.zeros(len(e), dtype=torch.bool).index_fill(0, nearest, True)
        ax.add_collection(
            LineCollection(list(torch.stack([data, e[nearest]], dim=1).numpy()), color=SKY, linewidth=0.4)
        )
        ax.plot(*data.T.numpy(), ".", markersize=1.5, color="#666666")
        ax.plot(*e[living].T.numpy(), "o", markersize=6, color=BLUE, label="code in use")
        ax.plot(*e[~living].T.numpy(), "X", markersize=7, color=VERMILION, label="dead code")
        ax.set_title(title, fontsize=9)
        ax.set_aspect("equal")
        ax.tick_params(labelsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return done(figure)


def interpolations(
    w: Tensor,
    rows: Mapping[str, Sequence[Image]],
    norms: Mapping[str, Tensor],
    before: Tensor,
    after: Tensor,
) -> Figure:
    r"""Interpolations between two pictures, a row each, a column for each w. Below, how long the interpolated vectors
    are (the first is 1), and the latents' numbers before and after scaling, beside the standard normal.
    """
    figure = plt.figure(figsize=(1.2 * len(w), 1.05 * len(rows) + 2.2), layout="constrained")
    top, bottom = figure.add_gridspec(2, 1, height_ratios=[1.05 * len(rows), 2.0])
    grid = top.subgridspec(len(rows), len(w), wspace=0.02, hspace=0.02)
    for i, (name, pictures) in enumerate(rows.items()):
        for j, picture in enumerate(pictures):
            ax = bare(figure.add_subplot(grid[i, j]))
            ax.imshow(pixels(picture), interpolation="nearest")
            if i == 0:
                ax.set_title(f"w = {w[j]:.2f}", fontsize=9)
            if j == 0:
                ax.set_ylabel(name, fontsize=8)
    left, right = (figure.add_subplot(spec) for spec in bottom.subgridspec(1, 2))
    curves(left, w, norms, "length of the vector on its way, first = 1", "w")
    left.set_ylim(0, 1.1 * max(float(y.max()) for y in norms.values()))
    edges = np.linspace(-5, 5, 81)
    for values, colour, label in ((before, ORANGE, "before"), (after, BLUE, "after")):
        label = f"{label}: std {values.std():.2f}"
        right.hist(values.flatten().numpy(), edges.tolist(), density=True, histtype="step", color=colour, label=label)
    normal = np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi)
    right.plot(edges, normal, ":", color="black", linewidth=1, label="N(0, 1)")
    right.set_title("the latents' numbers, before and after scaling", fontsize=9)
    right.set_xlabel("value", fontsize=9)
    right.set_ylabel("density", fontsize=9)
    right.set_yscale("log")
    right.set_ylim(1e-4, 4)
    right.tick_params(labelsize=8)
    right.legend(fontsize=8, loc="lower center")
    return done(figure)
