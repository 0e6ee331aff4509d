r"""Curves, densities, point clouds, vector fields, and the forward process of a picture."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .base import BLUE, ORANGE, SKY, VERMILION, Image, bare, curves, done, pixels


def lines(x: np.ndarray | Tensor, ys: Mapping[str, np.ndarray | Tensor], title: str, xlabel: str = "t") -> Figure:
    r"""One plot of `curves`."""
    figure, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
    curves(ax, x, ys, title, xlabel)
    return done(figure)


def panels(*plots: tuple[np.ndarray | Tensor, Mapping[str, np.ndarray | Tensor], str, str, bool]) -> Figure:
    r"""Several plots of `curves` side by side: (x, ys, title, xlabel, whether y is logarithmic) each."""
    figure, axes = plt.subplots(1, len(plots), figsize=(4.6 * len(plots), 2.8), squeeze=False, layout="constrained")
    for ax, (x, ys, title, xlabel, log) in zip(axes[0], plots, strict=True):
        curves(ax, x, ys, title, xlabel, log)
    return done(figure)


def densities(
    x: np.ndarray | Tensor, plots: Sequence[Mapping[str, np.ndarray | Tensor]], titles: Sequence[str]
) -> Figure:
    r"""Densities over one axis as filled curves, a plot for each title. They share the axis x, not the height."""
    size = (3.1 * len(plots), 2.6)
    figure, axes = plt.subplots(1, len(plots), figsize=size, squeeze=False, layout="constrained")
    styles = ((SKY, "-"), (ORANGE, "--"), (VERMILION, "-"))
    for ax, densities, title in zip(axes[0], plots, titles, strict=True):
        for (label, density), (colour, dash) in zip(densities.items(), styles, strict=False):
            ax.fill_between(np.asarray(x), np.asarray(density), color=colour, alpha=0.35, linewidth=0)
            ax.plot(np.asarray(x), np.asarray(density), color=colour, linestyle=dash, label=label)
        ax.set_title(title, fontsize=9)
        ax.set(yticks=[], ylim=(0, None))
        ax.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("density", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return done(figure)


def scatter(clouds: Sequence[Tensor], titles: Sequence[str], side: float = 1.6, limit: float = 3.0) -> Figure:
    r"""Clouds of points in the plane, `n 2` each, side by side on the same axes."""
    size = (side * len(clouds), 1.2 * side)
    figure, axes = plt.subplots(1, len(clouds), figsize=size, squeeze=False, layout="constrained")
    for ax, cloud, title in zip(axes[0], clouds, titles, strict=True):
        ax.plot(*np.asarray(cloud).T, ".", markersize=1, color=BLUE)
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
    return done(figure)


def vector_fields(
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
    return done(figure)


def bits_per_step(bits: Mapping[str, np.ndarray | Tensor], weights: Mapping[str, np.ndarray | Tensor]) -> Figure:
    r"""What each step t = 1..T costs (the first entry as bars), and beside it what its error counts."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.2), layout="constrained")
    (name, bars), *others = bits.items()
    t = np.arange(1, len(bars) + 1)
    left.bar(t, np.asarray(bars), width=1.0, color=SKY, label=name)
    for (label, y), colour, dash in zip(others, (VERMILION, BLUE), ("-", "--"), strict=False):
        left.step(t, np.asarray(y), where="mid", color=colour, linestyle=dash, linewidth=1.2, label=label)
    left.set_yscale("log")
    left.set_title("what step t costs, bits per pixel", fontsize=9)
    left.set_xlabel("t", fontsize=9)
    left.tick_params(labelsize=8)
    left.legend(fontsize=8)
    curves(
        right,
        np.arange(1, len(next(iter(weights.values()))) + 1),
        weights,
        "what an error of x_0 counts at t, share",
        log=True,
    )
    return done(figure)


def forward_process(
    images: Sequence[Image], times: Sequence[int], alpha_bar: Mapping[str, Tensor], snr: Mapping[str, Tensor]
) -> Figure:
    r"""A picture at several times of the forward process, and below it how much signal each schedule keeps (`T+1`
    values each).
    """
    figure = plt.figure(figsize=(1.35 * len(images), 4.2), layout="constrained")
    top, bottom = figure.add_gridspec(2, 1, height_ratios=[1.35, 2.4])
    row = top.subgridspec(1, len(images))
    for column, (image, t) in enumerate(zip(images, times, strict=True)):
        ax = bare(figure.add_subplot(row[column]))
        ax.imshow(pixels(image), interpolation="nearest")
        ax.set_title(f"t = {t}", fontsize=9)
    left, right = bottom.subgridspec(1, 2)
    t = np.arange(len(next(iter(alpha_bar.values()))))
    curves(figure.add_subplot(left), t, alpha_bar, "alpha_bar: the share of the variance that is signal")
    within = {name: y.where((y < 1e4) & (y > 1e-4), torch.nan) for name, y in snr.items()}
    ax = curves(figure.add_subplot(right), t, within, "signal-to-noise ratio alpha^2 / sigma^2", log=True)
    ax.axhline(1, color="grey", linewidth=0.8)
    return done(figure)
