r"""A story board: pictures in the order in which they were made, each above the line of code that made it."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .base import BLUE, Image, bare, done, pixels


class Panel(NamedTuple):
    r"""One step of the story. `shown` is a picture, or words."""

    title: str
    line: str
    shown: Image | str


def storyboard(panels: Sequence[Panel], columns: int = 4, side: float = 2.3) -> Figure:
    r"""The panels row by row, numbered, each `side` inches wide whatever the size of its picture."""
    letters = round(side * 17)  # of a line's, that fit into the width of a panel
    lines = [textwrap.wrap(panel.line, letters, subsequent_indent="    ") for panel in panels]
    rows = -(-len(panels) // columns)
    size = (columns * side, rows * (side + 0.3 + 0.11 * max(map(len, lines))))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat:
        bare(ax).set_anchor("N")
    for number, (ax, panel, line) in enumerate(zip(axes.flat, panels, lines, strict=False), start=1):
        if isinstance(panel.shown, str):
            words = textwrap.fill(panel.shown, letters // 2)
            ax.text(0.5, 0.5, words, ha="center", va="center", fontsize=10, style="italic")
            ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        else:
            ax.imshow(pixels(panel.shown), interpolation="nearest")
        ax.set_title(f"{number}  {panel.title}", fontsize=9, loc="left", color=BLUE)
        ax.set_xlabel("\n".join(line), fontsize=6.5, family="monospace", loc="left")
    return done(figure)
