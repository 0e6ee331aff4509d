r"""A map of parameters: every tensor of some networks is a rectangle, and its area is how many numbers it holds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import nn

from .base import BLUE, GREEN, ORANGE, VERMILION, bare, done

Networks = Mapping[str, nn.Module]
Tree = Mapping[str, Any]  # from a name to a size, or to a tree
Box = tuple[float, float, float, float]  # left, bottom, width, height

GREY = "#999999"
KINDS = {  # of a tensor: the first of which a mark is in its name
    "feed-forward": (VERMILION, (".ff.", ".mlp.")),
    "attention": (ORANGE, ("attn", "attentions")),
    "residual blocks": (BLUE, ("resnets",)),
    "vocabulary": (GREEN, ("token_embedding",)),
    "everything else": (GREY, ("",)),
}


def parameter_map(systems: Mapping[str, Networks]) -> Figure:
    r"""Systems of networks side by side, each filling its square; in the corner of each, the others at its scale."""
    figure, axes = plt.subplots(1, len(systems), figsize=(5.2 * len(systems), 5.6), squeeze=False, layout="constrained")
    totals = {title: size(tree(networks)) for title, networks in systems.items()}
    for ax, (title, networks) in zip(axes[0], systems.items(), strict=True):
        draw(ax, networks)
        for other, total in totals.items():
            side = (total / totals[title]) ** 0.5
            if side < 0.5:
                ax.add_patch(Rectangle((1.01, 0), side, side, color="black", clip_on=False))
                ax.text(1.02 + side, side / 2, f"{other},\nat this scale", fontsize=7, va="center")
        ax.set_title(f"{title}: {totals[title]:,} parameters", fontsize=10)
    handles = [Patch(color=colour, label=kind) for kind, (colour, _) in KINDS.items()]
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=len(KINDS), frameon=False)
    return done(figure)


def draw(ax: Axes, networks: Networks) -> None:
    boxes = dict(layout(tree(networks), (0.0, 0.0, 1.0, 1.0)))
    rectangles = [Rectangle((x, y), w, h) for x, y, w, h in boxes.values()]
    colours = [KINDS[kind_of(name)][0] for name in boxes]
    ax.add_collection(PatchCollection(rectangles, facecolors=colours, edgecolors="white", linewidths=0.25))
    for network in networks:
        inside = [box for name, box in boxes.items() if name.startswith(f"{network}.")]
        left, bottom = min(x for x, *_ in inside), min(y for _, y, *_ in inside)
        right, top = max(x + w for x, _, w, _ in inside), max(y + h for _, y, _, h in inside)
        ax.add_patch(
            Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor="black", linewidth=1.5)
        )
        label = {"fc": "white", "ec": "none", "pad": 1.0}
        ax.text((left + right) / 2, (bottom + top) / 2, network, ha="center", va="center", fontsize=8, bbox=label)
    bare(ax).set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


def kind_of(name: str) -> str:
    return next(kind for kind in KINDS if any(mark in name for mark in KINDS[kind][1]))


def tree(networks: Networks) -> Tree:
    r"""How large each tensor is, in the folders that the dots of its name make."""
    root: dict = {}
    for title, network in networks.items():
        for name, parameter in network.named_parameters():
            *folders, last = (title, *name.split("."))
            place = root
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = parameter.numel()
    return root


def size(branch: Tree | int) -> int:
    return branch if isinstance(branch, int) else sum(map(size, branch.values()))


def layout(branch: Tree, box: Box, prefix: str = "") -> Iterator[tuple[str, Box]]:
    r"""A box for each leaf, of an area in proportion to its size: the larger side is cut, again and again.

    What belongs to one folder stays together. (A treemap: Shneiderman 1992.)
    """
    yield from cut(sorted(branch.items(), key=lambda item: -size(item[1])), box, prefix)


def cut(items: Sequence[tuple[str, Any]], box: Box, prefix: str) -> Iterator[tuple[str, Box]]:
    if len(items) == 1:
        name, branch = items[0]
        if isinstance(branch, int):
            yield prefix + name, box
        else:
            yield from layout(branch, box, f"{prefix}{name}.")
        return
    total, first, n = sum(size(branch) for _, branch in items), size(items[0][1]), 1
    while n < len(items) - 1 and first + size(items[n][1]) <= total / 2:
        first += size(items[n][1])
        n += 1
    (x, y, w, h), share = box, first / total
    if w > h:
        yield from cut(items[:n], (x, y, share * w, h), prefix)
        yield from cut(items[n:], (x + share * w, y, (1 - share) * w, h), prefix)
    else:
        yield from cut(items[:n], (x, y, w, share * h), prefix)
        yield from cut(items[n:], (x, y + share * h, w, (1 - share) * h), prefix)
