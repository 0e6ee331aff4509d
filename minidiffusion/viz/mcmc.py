r"""Markov chains: where they are after n moves, and the trajectory of one of them."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .base import BLUE, VERMILION, done


def chains(
    log_prob: Callable[[Tensor], Tensor], runs: Mapping[str, Tensor], at: Sequence[int], limit: float = 2.3
) -> Figure:
    r"""A row for each sampler, a column for each number of moves in `at`: all chains as points over the density.

    runs: states `n c 2`, the first of them the start. The line is the trajectory of chain 0 up to there, at most 40
    moves.
    """
    size = (1.55 * len(at), 1.6 * len(runs))
    figure, axes = plt.subplots(len(runs), len(at), figsize=size, squeeze=False, layout="constrained")
    side = torch.linspace(-limit, limit, 120, dtype=torch.float64)
    y, x = torch.meshgrid(side, side, indexing="ij")
    density = log_prob(torch.stack([x.flatten(), y.flatten()], dim=1)).exp().reshape(x.shape)
    for row, (name, states) in zip(axes, runs.items(), strict=True):
        row[0].set_ylabel(name, fontsize=9)
        for ax, k in zip(row, at, strict=True):
            ax.contourf(x, y, density.sqrt(), levels=5, cmap="Blues")
            ax.plot(*states[k].T.numpy(), ".", color=BLUE, markersize=2, alpha=0.5)
            ax.plot(*states[max(0, k - 40) : k + 1, 0].T.numpy(), "-", color=VERMILION, linewidth=1)
            ax.plot(*states[k, 0].numpy(), "o", color=VERMILION, markersize=4)
            ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[])
    for ax, k in zip(axes[0], at, strict=True):
        ax.set_title(f"{k} moves", fontsize=9)
    return done(figure)
