r"""Rates on a card: TFLOP/s of attention and GB/s of GroupNorm, by shape and backend, under the card's own limits."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.cards import Card, limits
from benchmarks.harness import Row
from minidiffusion.viz.base import BLUE, GREEN, ORANGE, VERMILION

STYLES = {"reference": (VERMILION, "o"), "compile": (BLUE, "D"), "torch": (ORANGE, "s"), "triton": (GREEN, "^")}
NOTE = {"contiguous_format": "", "channels_last": ", channels last"}
LABELS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "attention": ("TFLOP/s", lambda case: f"{case['of']}\n{case['m']} x {case['n']}, d = {case['d']}"),
    "group_norm": ("GB/s", lambda case: f"{case['of']}{NOTE[case['memory']]}\n{case['shape']}"),
}


def plot(rows: list[Row], path: Path) -> None:
    r"""A row for each pass, a column for each operation; half precision."""
    figure, axes = plt.subplots(2, 2, figsize=(17, 10), layout="constrained")
    for line, which in zip(axes, ("forward", "backward"), strict=True):
        for ax, question in zip(line, LABELS, strict=True):
            unit, _ = LABELS[question]
            panel(ax, [r for r in rows if r.question == question and r.case["pass"] == which and r.unit == unit])
            ax.set_title(f"{question}, {which}", fontsize=11)
    figure.suptitle(f"float16 on {rows[-1].device}", fontsize=12)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def panel(ax: Axes, rows: list[Row]) -> None:
    unit, label = LABELS[rows[0].question]
    places = {name: i for i, name in enumerate(dict.fromkeys(label(row.case) for row in rows))}
    for i, (backend, (color, marker)) in enumerate(STYLES.items()):
        drawn = [row for row in rows if row.backend == backend and row.dtype == "float16"]
        x = [places[label(row.case)] + 0.12 * (i - 1.5) for row in drawn]
        ax.vlines(x, [row.low for row in drawn], [row.high for row in drawn], color=color, linewidth=1)
        ax.plot(x, [row.value for row in drawn], marker, color=color, label=backend)
    if card := limits(rows[0].device):
        limit(ax, card, unit)
    ax.set_xticks(range(len(places)), list(places), fontsize=7, rotation=40, ha="right")
    ax.set_yscale("log")
    ax.set_ylabel(f"{unit} (median, 5th to 95th percentile)")
    ax.grid(axis="y", alpha=0.3)
    ax.legend(fontsize=8)


def limit(ax: Axes, card: Card, unit: str) -> None:
    value = card.teraflops if unit == "TFLOP/s" else card.gigabytes
    ax.axhline(value, color="#444444", linestyle="--", label=f"{card.name}: {value:,g} {unit}, says NVIDIA")
