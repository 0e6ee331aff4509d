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

from minidiffusion.viz.base import BLUE, GREEN, ORANGE, VERMILION, done

STOP = re.compile(r"(conv_in|conv_out|(down_blocks\.\d|mid_block|up_blocks\.\d)\.(?P<part>[a-z]+)\.\d)$")
GREY = "#999999"
COLOURS = {"conv": GREY, "resnets": BLUE, "attentions": ORANGE, "downsamplers": GREEN, "upsamplers": GREEN}
LEGEND = {"convolution": GREY, "residual block": BLUE, "transformer": ORANGE, "down- and up-sampling": GREEN}


class Stop(NamedTuple):
    r"""A module that the picture passed, and what came out of it: `channels` x `side` x `side`."""

    name: str
    channels: int
    side: int

    @property
    def part(self) -> str:
        r"""What kind of module: a key of COLOURS."""
        match = STOP.match(self.name)
        return (match and match["part"]) or "conv"


def walk(unet: nn.Module, *inputs: Tensor) -> list[Stop]:
    r"""The stops of one forward pass, in order. Works on the meta device too, where nothing is computed but shapes."""
    stops: list[Stop] = []

    def watch(name: str, module: nn.Module):
        return module.register_forward_hook(lambda _, __, y: stops.append(Stop(name, y.shape[1], y.shape[2])))

    handles = [watch(name, module) for name, module in unet.named_modules() if STOP.match(name)]
    try:
        with torch.no_grad():
            unet(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return stops


def skips(stops: Sequence[Stop]) -> list[tuple[int, int]]:
    r"""The skip connections as positions (from, to): a stack, filled on the way down, emptied on the way up."""
    stack, pairs = [], []
    for i, stop in enumerate(stops):
        follower = stops[i + 1].part if i + 1 < len(stops) else ""
        if stop.name.startswith(("conv_in", "down_blocks")) and follower != "attentions":
            stack.append(i)  # a residual block is kept after its transformer, if it has one
        if stop.name.startswith("up_blocks") and stop.part == "resnets":
            pairs.append((stack.pop(), i))
    return pairs


def u_shape(stops: Sequence[Stop], title: str, embedding: Tensor | None = None) -> Figure:
    r"""The U: down on the left, up on the right, skip connections as arrows over it. Heights and widths are to scale.

    embedding: `t d`, what the network is told of each time; a heat map beside the U if given.
    """
    if embedding is None:
        figure, ax = plt.subplots(figsize=(10, 4.4), layout="constrained")
    else:
        figure, (ax, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=[7, 4], layout="constrained")
        heat_map(figure, right, embedding)
    draw_u(ax, stops)
    ax.set_title(title, fontsize=9)
    handles = [Patch(color=colour, label=label) for label, colour in LEGEND.items()]
    handles.append(Patch(color=VERMILION, label="skip connection and its channels"))
    ax.legend(handles=handles, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
    return done(figure)


def draw_u(ax: Axes, stops: Sequence[Stop]) -> None:
    pairs, widest = skips(stops), max(stop.channels for stop in stops)
    sides = sorted({stop.side for stop in stops}, reverse=True)
    gap, lane = 0.25 * widest, 0.16 * sides[0]  # between two boxes; the height that one skip connection takes
    widths = np.array([stop.channels for stop in stops])
    middles = np.cumsum(widths + gap) - widths / 2
    floors, y = {}, 0.0  # on what the boxes of each resolution stand; above them is room for their skip connections
    for side in sides:
        y -= side + lane * (1 + sum(stops[start].side == side for start, _ in pairs))
        floors[side] = y
        ax.text(0, y + side / 2, f"{side} x {side}", fontsize=8, ha="right", va="center")

    heights = [floors[stop.side] + stop.side / 2 for stop in stops]
    ax.plot(middles, heights, color="#bbbbbb", linewidth=1, zorder=0)
    for x, stop, before in zip(middles, stops, [None, *stops[:-1]], strict=True):
        corner = (x - stop.channels / 2, floors[stop.side])
        ax.add_patch(Rectangle(corner, stop.channels, stop.side, color=COLOURS[stop.part]))
        if before is None or (stop.channels, stop.side) != (before.channels, before.side):
            at = {"ha": "center", "va": "top", "rotation": 90 if len(stops) > 20 else 0}
            ax.text(x, floors[stop.side] - 0.15 * lane, str(stop.channels), fontsize=7, **at)

    for start, end in pairs:
        top = floors[stops[start].side] + stops[start].side
        inner = sum(s > start and stops[s].side == stops[start].side for s, _ in pairs)  # those that it bridges
        bridge = top + lane * (0.6 + inner)
        ax.plot([middles[start]] * 2 + [middles[end]], [top, bridge, bridge], color=VERMILION, linewidth=1)
        arrow = {"arrowstyle": "->", "color": VERMILION, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (middles[end], top), (middles[end], bridge), arrowprops=arrow)
        box = {"fc": "white", "ec": "none", "pad": 0.8}
        at = {"ha": "center", "va": "center", "color": VERMILION, "bbox": box}
        ax.text((middles[start] + middles[end]) / 2, bridge, str(stops[start].channels), fontsize=7, **at)
    ax.set(xlim=(-0.06 * middles[-1], middles[-1] + widest), ylim=(y - 1.5 * lane, 0))
    ax.axis("off")


def heat_map(figure: Figure, ax: Axes, embedding: Tensor) -> None:
    heat = ax.imshow(embedding.T.cpu().numpy(), aspect="auto", cmap="viridis", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_title("what it is told of the time t", fontsize=9)
    ax.set_xlabel("t", fontsize=9)
    ax.set_ylabel("component: cosines above, sines below", fontsize=9)
    ax.tick_params(labelsize=8)
    figure.colorbar(heat, ax=ax, shrink=0.9)
