r"""Kernels of a group norm: the cancellation in a variance, and which elements and channels each program accesses."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from .base import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, bare, done, pixels

STYLES = ((VERMILION, "X", "-"), (BLUE, "o", "-"), (GREEN, "s", "--"), (ORANGE, "^", ":"), (PURPLE, "D", "-."))
UNTOUCHED, OWN, OTHER = range(3)


@runtime_checkable
class Access(Protocol):
    r"""One load or store: `minidiffusion_kernels.traffic` counts them. `offsets`: positions in a tensor of `shape`."""

    @property
    def program(self) -> tuple[int, int, int]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def offsets(self) -> np.ndarray: ...


def cancellation(
    means: Sequence[float], errors: Mapping[str, Sequence[float]], pictures: Mapping[str, Mapping[float, Tensor]]
) -> Figure:
    r"""Left: relative errors of a variance over the mean, both logarithmic, one curve a method, the bad one first.

    Right: a picture `3 h w` as normalised by some of the methods (the rows) at some of the means (the columns).
    """
    columns = list(next(iter(pictures.values())))
    figure = plt.figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.add_gridspec(1, 2, width_ratios=[4, 5])
    ax = figure.add_subplot(left)
    for (label, error), (colour, marker, dash) in zip(errors.items(), STYLES, strict=False):
        ax.loglog(means, error, color=colour, marker=marker, linestyle=dash, markersize=4, linewidth=1.2, label=label)
    ulp = 2.0**-24  # half a unit in the last place of float32
    for slope, factor in ((2, 1), (1, 0.1)):
        guide = factor * ulp * np.asarray(means) ** slope
        ax.loglog(means, guide, color="grey", linewidth=0.9, linestyle=":")
        middle = len(means) * 5 // 8
        ax.annotate(f"slope {slope}", (means[middle], guide[middle]), fontsize=8, color="#444444", va="top",
                    xytext=(3, -3), textcoords="offset points")  # fmt: skip
    ax.axhline(1, color="black", linewidth=0.8)
    ax.annotate("no digit left", (means[0], 1), fontsize=8, xytext=(0, 3), textcoords="offset points")
    ax.set_ylim(3e-9, 3e2)
    ax.set_xlabel("mean of the group, in standard deviations", fontsize=9)
    ax.set_ylabel("relative error of the variance", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.76))
    rows = right.subgridspec(len(pictures), len(columns))
    for i, (label, row) in enumerate(pictures.items()):
        for j, mean in enumerate(columns):
            ax = bare(figure.add_subplot(rows[i, j]))
            ax.imshow(pixels(row[mean].nan_to_num(1)), interpolation="nearest")
            if bool(row[mean].isnan().any()):
                ax.text(0.5, 0.5, "NaN", color=VERMILION, fontsize=12, ha="center", transform=ax.transAxes)
            if i == 0:
                ax.set_title(f"mean {mean:,.0f}", fontsize=9)
            if j == 0:
                ax.set_ylabel(label, fontsize=9)
    return done(figure)


def element_access(panels: Mapping[str, Iterable[Access]], groups: int) -> Figure:
    r"""Which program touches which element of a tensor `1 c ...`: a shade each; a black line parts two groups.

    panels: title -> the accesses to the tensor. What several programs touch has the shade of the last of them, what
    nobody touches is white.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(2.4 * len(panels), 2.6), squeeze=False, layout="constrained")
    for ax, (title, accesses) in zip(axes[0], panels.items(), strict=True):
        accesses = list(accesses)
        channels = accesses[0].shape[1]
        owner = np.full(int(np.prod(accesses[0].shape)), -1)
        ranks: dict[tuple[int, int, int], int] = {}
        for access in accesses:
            owner[access.offsets] = ranks.setdefault(access.program, len(ranks))
        # Steps of the golden ratio: programs that follow each other get shades far apart.
        colours = plt.get_cmap("cividis")(0.15 + 0.85 * (owner * 0.618034 % 1))[:, :3]
        colours[owner < 0] = 1
        picture = colours.reshape(channels, -1, 3)
        ax.imshow(picture, aspect="auto", interpolation="nearest", extent=(0, picture.shape[1], channels, 0))
        for boundary in range(channels // groups, channels, channels // groups):
            ax.axhline(boundary, color="black", linewidth=1.5)
        ax.set_title(f"{title}\n{len(ranks)} programs", fontsize=9)
        ax.set_xlabel("pixel", fontsize=9)
        ax.set_yticks(range(0, channels + 1, channels // groups))
        ax.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("channel", fontsize=9)
    return done(figure)


def channel_access(panels: Mapping[str, Iterable[Access]], groups: int) -> Figure:
    r"""Which channels program g touches, of a tensor `1 c ...` whose group g is its own: a row for each program."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 1.9), squeeze=False, layout="constrained")
    for ax, (title, accesses) in zip(axes[0], panels.items(), strict=True):
        accesses = list(accesses)
        _, channels, *rest = accesses[0].shape
        members = channels // groups
        touched = np.full((groups, channels), UNTOUCHED)
        for access in accesses:
            channel, program = access.offsets // int(np.prod(rest)) % channels, access.program[0]
            touched[program, channel] = np.where(channel // members == program, OWN, OTHER)
        palette = ListedColormap(["#F2F2F2", SKY, VERMILION])
        ax.pcolormesh(touched, cmap=palette, vmin=UNTOUCHED, vmax=OTHER, edgecolors="white", linewidth=0.6)
        for boundary in range(members, channels, members):
            ax.axvline(boundary, color="black", linewidth=1.5)
        ax.invert_yaxis()
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("channel", fontsize=9)
        ax.set_xticks(range(0, channels + 1, members))
        ax.set_yticks(np.arange(groups) + 0.5, [f"{g}" for g in range(groups)])
        ax.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("program", fontsize=9)
    names = {"its own group": SKY, "another's": VERMILION}
    figure.legend(handles=[Patch(color=c, label=n) for n, c in names.items()], loc="outside right center", fontsize=8)
    return done(figure)
