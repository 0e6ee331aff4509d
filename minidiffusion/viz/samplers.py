r"""Samplers: their trajectories over a density, and how their error falls with the number of network calls.

Trajectories and densities are drawn in few colours, without smooth edges: a notebook with such a picture stays small.
"""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .base import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, done

LIMIT = 2.3  # of the places x that are shown
STYLES = {  # each sampler has one colour and one marker, in every figure
    "ddpm": (VERMILION, "X"),
    "ddim": (BLUE, "o"),
    "euler": (BLUE, "o"),
    "heun": (GREEN, "s"),
    "plms": (PURPLE, "D"),
    "dpm++": (ORANGE, "^"),
    "euler-maruyama": (SKY, "v"),
    "predictor-corrector": ("#444444", "P"),
}
OTHER = ("#444444", "x")

LogProb = Callable[[Tensor, int], Tensor]
Trajectory = tuple[Tensor, Tensor]  # the times `m`, from noise to data, and the places `m n` of n points there
Curve = tuple[Sequence[int], Sequence[float]]  # numbers of calls, and the error with each


def trajectories(times: Tensor, log_prob: LogProb, runs: Mapping[str, Trajectory], shown: int = 6) -> Figure:
    r"""Samplers on a line, each from noise (left) to data (right), over the density at each time.

    log_prob(x, t): of places x `n 1` at time t. Of the n points of a run `shown` are drawn; the histogram at the right
    edge is that of all of them at the end, with the true density around it.
    """
    figure, axes = plt.subplots(
        1, 2 * len(runs), figsize=(2.9 * len(runs), 2.4), width_ratios=[4, 1] * len(runs), sharey=True,
        layout="constrained",
    )  # fmt: skip
    edges = np.linspace(-LIMIT, LIMIT, 47)
    for ax, side, (title, (t, x)) in zip(axes[::2], axes[1::2], runs.items(), strict=True):
        places, density = _density_over_time(ax, times, log_prob)
        ax.plot(t.numpy(), x[:, :shown].numpy(), color=VERMILION, linewidth=0.5, antialiased=False)
        ax.set_title(title, fontsize=9)
        side.hist(x[-1].numpy(), edges, density=True, orientation="horizontal", color=VERMILION, alpha=0.6)
        side.plot(density.numpy(), places.numpy(), color=BLUE, linewidth=1.2)
        side.set_xlim(0, 1.3 * density.max().item())
        side.set_axis_off()
    axes[0].set_ylabel("x", fontsize=9)
    return done(figure)


def convergence(
    times: Tensor,
    log_prob: LogProb,
    exact: Trajectory,
    stochastic: Mapping[str, Trajectory],
    steps: Mapping[str, Trajectory],
    errors: Mapping[str, Curve],
    parallel: Mapping[str, int],
) -> Figure:
    r"""Left: samplers from the same points over the density; right: their errors, as in `against_calls`.

    exact: the true solution, a black line. stochastic: samplers that draw noise. steps: those of few steps, marked.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.7), width_ratios=[5, 4], layout="constrained")
    _density_over_time(left, times, log_prob)
    for name, (t, x) in stochastic.items():
        left.plot(t.numpy(), x.numpy(), color=STYLES[name][0], linewidth=0.5, alpha=0.6, antialiased=False)
        left.plot([], [], color=STYLES[name][0], linewidth=1, label=f"{name}, {len(t) - 1} steps")
    for j, place in enumerate(exact[1].T.numpy()):
        left.plot(exact[0].numpy(), place, color="black", linewidth=1.6, label=None if j else "the ODE's solution")
    for name, (t, x) in steps.items():
        colour, marker = STYLES[name]
        for j, place in enumerate(x.T.numpy()):
            label = None if j else f"{name}, {len(t) - 1} steps"
            left.plot(t.numpy(), place, color=colour, marker=marker, markersize=4, linewidth=1, label=label)
    left.set_title("the same noise, on its way to data", fontsize=9)
    left.set_ylabel("x", fontsize=9)
    left.legend(fontsize=7, loc="lower left", ncols=2)
    against_calls(right, errors, "mean distance to the ODE's solution", parallel)
    return done(figure)


def against_calls(ax: Axes, errors: Mapping[str, Curve], ylabel: str, parallel: Mapping[str, int]) -> Axes:
    r"""Errors over network calls, both logarithmic: a method of order p is a line that falls with slope p.

    What follows a colon in a name goes to the legend only. parallel: name of a curve -> slope of a grey line under it.
    """
    for label, (calls, error) in errors.items():
        name = label.partition(":")[0]
        colour, marker = STYLES.get(name, OTHER)
        ax.loglog(calls, error, color=colour, marker=marker, markersize=4, linewidth=1.2, label=label)
        if name in parallel:
            slope, x = parallel[name], np.array([calls[len(calls) // 2], calls[-1]])
            y = 0.5 * error[-1] * (x / x[-1]) ** -float(slope)
            ax.loglog(x, y, color="grey", linewidth=0.9, linestyle=":")
            ax.annotate(f"slope {slope}", (x[-1], y[-1]), fontsize=8, color="#444444",
                        xytext=(0, -3), textcoords="offset points", ha="right", va="top")  # fmt: skip
    longest = max((calls for calls, _ in errors.values()), key=len)
    ax.set_xticks(longest, [f"{c:g}" for c in longest])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("network calls", fontsize=9)
    ax.set_ylabel(ylabel, fontsize=9)
    ax.tick_params(labelsize=8)
    ax.margins(y=0.09)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8)
    return ax


def _density_over_time(ax: Axes, times: Tensor, log_prob: LogProb) -> tuple[Tensor, Tensor]:
    r"""The density at all times, each column scaled to its own maximum. Returns places and the density at the end."""
    places = torch.linspace(-LIMIT, LIMIT, 200, dtype=torch.float64)
    density = torch.stack([log_prob(places[:, None], int(t)).exp() for t in times], dim=1)
    levels = np.linspace(0, 1, 9)
    ax.contourf(times.numpy(), places.numpy(), (density / density.amax(0)).numpy(), levels, cmap="Blues", vmax=1.7)
    ax.set(xlim=(int(times.max()), int(times.min())), ylim=(-LIMIT, LIMIT))
    ax.set_xlabel("t, from noise to data", fontsize=9)
    ax.tick_params(labelsize=8)
    return places, density[:, times.argmin()]
