r"""The shape of a U-Net, drawn from a forward pass: boxes as high as the feature maps and as wide as their channels."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor, nn

from .base import BLUE, GREEN, ORANGE, VERMILION, done

SHOWN = re.compile(r"(conv_in|conv_out|(down_blocks\.\d|mid_block|up_blocks\.\d)\.(?P<part>[a-z]+)\.\d)$")
GREY = "#999999"
COLOURS = {"conv": GREY, "resnets": BLUE, "attentions": ORANGE, "downsamplers": GREEN, "upsamplers": GREEN}
LEGEND = {"convolution": GREY, "residual block": BLUE, "transformer": ORANGE, "down- and up-sampling": GREEN}


class FeatureMap(NamedTuple):
    r"""A module that the picture passed, and what came out of it: `channels` x `side` x `side`."""

    name: str
    channels: int
    side: int

    @property
    def part(self) -> str:
        r"""What kind of module: a key of COLOURS."""
        match = SHOWN.match(self.name)
        return (match and match["part"]) or "conv"


def trace(unet: nn.Module, *inputs: Tensor) -> list[FeatureMap]:
    r"""The maps of one forward pass, in order. Works on the meta device too, where nothing is computed but shapes."""
    maps: list[FeatureMap] = []

    def watch(name: str, module: nn.Module):
        return module.register_forward_hook(lambda _, __, y: maps.append(FeatureMap(name, y.shape[1], y.shape[2])))

    handles = [watch(name, module) for name, module in unet.named_modules() if SHOWN.match(name)]
    try:
        with torch.no_grad():
            unet(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return maps


def skip_connections(maps: Sequence[FeatureMap]) -> list[tuple[int, int]]:
    r"""The skip connections as positions (from, to): a stack, filled on the way down, emptied on the way up."""
    stack, pairs = [], []
    for i, map_ in enumerate(maps):
        follower = maps[i + 1].part if i + 1 < len(maps) else ""
        if map_.name.startswith(("conv_in", "down_blocks")) and follower != "attentions":
            stack.append(i)  # a residual block is kept after its transformer, if it has one
        if map_.name.startswith("up_blocks") and map_.part == "resnets":
            pairs.append((stack.pop(), i))
    return pairs


def u_shape(maps: Sequence[FeatureMap], title: str, embedding: Tensor | None = None) -> Figure:
    r"""The U: down on the left, up on the right, skip connections as arrows over it. Heights and widths are to scale.

    embedding: `t d`, the time embedding; a heat map beside the U if given.
    """
    if embedding is None:
        figure, ax = plt.subplots(figsize=(10, 4.4), layout="constrained")
    else:
        figure, (ax, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=[7, 4], layout="constrained")
        heat_map(figure, right, embedding)
    draw_u(ax, maps)
    ax.set_title(title, fontsize=9)
    handles = [Patch(color=colour, label=label) for label, colour in LEGEND.items()]
    handles.append(Patch(color=VERMILION, label="skip connection and its channels"))
    ax.legend(handles=handles, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
    return done(figure)


def draw_u(ax: Axes, maps: Sequence[FeatureMap]) -> None:
    pairs, widest = skip_connections(maps), max(map_.channels for map_ in maps)
    sides = sorted({map_.side for map_ in maps}, reverse=True)
    gap, lane = 0.25 * widest, 0.16 * sides[0]  # between two boxes; the height that one skip connection takes
    widths = np.array([map_.channels for map_ in maps])
    middles = np.cumsum(widths + gap) - widths / 2
    floors, y = {}, 0.0  # on what the boxes of each resolution stand; above them is room for their skip connections
    for side in sides:
        y -= side + lane * (1 + sum(maps[start].side == side for start, _ in pairs))
        floors[side] = y
        ax.text(0, y + side / 2, f"{side} x {side}", fontsize=8, ha="right", va="center")

    heights = [floors[map_.side] + map_.side / 2 for map_ in maps]
    ax.plot(middles, heights, color="#bbbbbb", linewidth=1, zorder=0)
    for x, map_, before in zip(middles, maps, [None, *maps[:-1]], strict=True):
        corner = (x - map_.channels / 2, floors[map_.side])
        ax.add_patch(Rectangle(corner, map_.channels, map_.side, color=COLOURS[map_.part]))
        if before is None or (map_.channels, map_.side) != (before.channels, before.side):
            at = {"ha": "center", "va": "top", "rotation": 90 if len(maps) > 20 else 0}
            ax.text(x, floors[map_.side] - 0.15 * lane, str(map_.channels), fontsize=7, **at)

    for start, end in pairs:
        top = floors[maps[start].side] + maps[start].side
        inner = sum(s > start and maps[s].side == maps[start].side for s, _ in pairs)  # those that it bridges
        bridge = top + lane * (0.6 + inner)
        ax.plot([middles[start]] * 2 + [middles[end]], [top, bridge, bridge], color=VERMILION, linewidth=1)
        arrow = {"arrowstyle": "->", "color": VERMILION, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (middles[end], top), (middles[end], bridge), arrowprops=arrow)
        box = {"fc": "white", "ec": "none", "pad": 0.8}
        at = {"ha": "center", "va": "center", "color": VERMILION, "bbox": box}
        ax.text((middles[start] + middles[end]) / 2, bridge, str(maps[start].channels), fontsize=7, **at)
    ax.set(xlim=(-0.06 * middles[-1], middles[-1] + widest), ylim=(y - 1.5 * lane, 0))
    ax.axis("off")


def heat_map(figure: Figure, ax: Axes, embedding: Tensor) -> None:
    heat = ax.imshow(embedding.T.cpu().numpy(), aspect="auto", cmap="viridis", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_title("embedding of the time t", fontsize=9)
    ax.set_xlabel("t", fontsize=9)
    ax.set_ylabel("component: cosines above, sines below", fontsize=9)
    ax.tick_params(labelsize=8)
    figure.colorbar(heat, ax=ax, shrink=0.9)
