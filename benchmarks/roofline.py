r"""How fast could it be at best? A model, not a measurement: nothing here was run on a GPU.

    python benchmarks/roofline.py       # a few seconds; results/roofline.csv and results/roofline.png

An operation takes at least the time to move its bytes and at least the time for its arithmetic (Williams et al. 2009):

    seconds >= max(bytes / bandwidth, FLOPs / peak)

with NVIDIA's own figures for three cards (benchmarks/cards.py) and the bytes that the tests count in the interpreter
(benchmarks/bytes.py). Three kinds of bytes give three bounds: the formula as a chain of PyTorch operators; our kernel
without any cache; and a kernel that moves everything exactly once, which is the bound for every kernel.
"""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from benchmarks import attention, group_norm
from benchmarks.bytes import PASSES, Passes
from benchmarks.cards import MODELLED, Card
from benchmarks.harness import RESULTS, Row, write_csv
from benchmarks.sweep import Problem
from minidiffusion.viz.base import BLUE, GREEN, ORANGE, VERMILION

HALF = torch.float16
SELF, WORDS, SD2 = attention.SHAPES[0], attention.SHAPES[4], attention.SHAPES[8]  # of the highest resolution
FIRST, JOINED = group_norm.SHAPES[0], group_norm.SHAPES[5]
PROBLEMS = {"attention": (SELF, WORDS, SD2), "group_norm": (FIRST, JOINED)}
LABEL = "model, not measured"
A100 = MODELLED[1]
SHOWN = {
    "reference": (VERMILION, "o"),
    "torch": (ORANGE, "s"),
    "triton": (GREEN, "^"),
    "any kernel": (BLUE, "D"),
}
NAMES = {
    "reference": "the formula, operator by operator",
    "torch": "F.group_norm, then F.silu",
    "triton": "our kernel, nothing cached",
    "any kernel": "everything moved once",
}


def rows() -> Iterator[Row]:
    for operation, problems in PROBLEMS.items():
        for problem in problems:
            for card in MODELLED:
                for backend, moved in bytes_of(problem, card).items():
                    yield from bounds(operation, problem, card, backend, moved)


def bytes_of(problem: Problem, card: Card) -> dict[str, Passes]:
    return problem.moved(HALF, card.capability) | {"any kernel": problem.least(HALF)}


def bounds(operation: str, problem: Problem, card: Card, backend: str, moved: Passes) -> Iterator[Row]:
    flops = problem.flops() or dict.fromkeys(PASSES, 0)
    for which in PASSES:
        case = {"operation": operation, **problem.case, "pass": which, "card": card.name}
        figures = {
            "bytes": (moved[which], "B"),
            "time, lower bound": (card.seconds(moved[which], flops[which]), "s"),
        }
        for metric, (value, unit) in figures.items():
            yield Row(
                "roofline", case, f"{metric} ({LABEL})", value, unit, backend=backend, dtype="float16", device=LABEL
            )


def plot(path: Path) -> None:
    r"""Left: the roofs, and where attention stands under them. Right: GroupNorm, which is all memory."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", width_ratios=[3, 2])
    roofs(left)
    bars(right)
    figure.suptitle(f"Bounds from bytes and FLOPs, half precision: {LABEL}", fontsize=12)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def roofs(ax: Axes) -> None:
    r"""A roof for each card; a marker for each kind of bytes, where it hits the roof of the A100."""
    intensity = np.geomspace(4, 1e4, 200)
    for card, style in zip(MODELLED, (":", "--", "-"), strict=True):
        roof = np.minimum(card.teraflops, intensity * card.gigabytes / 1e3)
        label = f"{card.name}: {card.gigabytes:,g} GB/s, {card.teraflops:g} TFLOP/s"
        ax.loglog(intensity, roof, color="#444444", linestyle=style, linewidth=1.2, label=label)
    for problem in (SELF, WORDS):
        flops = problem.flops()["forward"]
        for backend, moved in bytes_of(problem, A100).items():
            at = flops / moved["forward"], flops / A100.seconds(moved["forward"], flops) / 1e12
            color, marker = SHOWN[backend]
            ax.plot(*at, marker, color=color, markersize=8)
            ax.annotate(f"n = {problem.n}", at, (7, -9), textcoords="offset points", fontsize=7)
    ax.set_xlabel("FLOPs for each byte moved")
    ax.set_ylabel("TFLOP/s, upper bound")
    ax.set_title("Attention forward, 4096 queries of width 40, over n keys, on an A100", fontsize=10)
    ax.legend(fontsize=8, loc="lower right")


def bars(ax: Axes) -> None:
    shown, width = ("forward", "backward"), 0.2
    for i, (backend, moved) in enumerate(bytes_of(FIRST, A100).items()):
        times = [A100.seconds(moved[which], 0) * 1e6 for which in shown]
        ax.bar(np.arange(2) + (i - 1.5) * width, times, width, color=SHOWN[backend][0])
    ax.set_xticks(range(2), shown)
    ax.set_ylim(top=1.3 * ax.get_ylim()[1])  # room for the legend
    ax.set_ylabel("microseconds, lower bound")
    ax.set_title("GroupNorm + SiLU of 2 x 320 x 64 x 64, on an A100", fontsize=10)
    handles = [ax.plot([], [], marker, color=color)[0] for color, marker in SHOWN.values()]
    ax.legend(handles, NAMES.values(), fontsize=8, loc="upper left")


def main() -> None:
    write_csv(RESULTS / "roofline.csv", rows())
    plot(RESULTS / "roofline.png")


if __name__ == "__main__":
    main()
