r"""Pictures as tokens: a number for each token at its place, and a picture that is sampled token by token."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from .base import Image, bare, done, pixels

HEAT = "cividis"  # dark is a small surprise, light a large one


def token_maps(
    pictures: Sequence[Image], maps: Mapping[str, Float[Tensor, "b h w"]], unit: str, side: float = 1.35
) -> Figure:
    r"""Pictures, and below each, row by row, what was measured at its places. All maps have one scale.

    Values below 0 make it a diverging one, white at 0.
    """
    signed = any(values.min() < 0 for values in maps.values())
    limit = max(values.abs().max().item() for values in maps.values())
    norm, colours = Normalize(-limit if signed else 0, limit), "PuOr_r" if signed else HEAT
    size = (len(pictures) * side + 0.9, (1 + len(maps)) * side)
    figure, axes = plt.subplots(1 + len(maps), len(pictures), figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat:
        bare(ax)
    for ax, picture in zip(axes[0], pictures, strict=True):
        ax.imshow(pixels(picture), interpolation="nearest")
    for row, (title, values) in zip(axes[1:], maps.items(), strict=True):
        row[0].set_ylabel(title, fontsize=9)
        for ax, heat in zip(row, values, strict=True):
            ax.imshow(heat.numpy(), cmap=colours, norm=norm, interpolation="nearest")
    figure.colorbar(ScalarMappable(norm, colours), ax=axes[1:], label=unit, shrink=0.9)
    return done(figure)


def token_by_token(frames: Sequence[Image], bits: Float[Tensor, "n"], side: float = 1.25) -> Figure:
    r"""A picture while it is sampled. frames: what there is when each row of tokens is finished, the rest is covered.

    bits: how surprising each token was when it was drawn, -log2 of its probability; as bars below the frames, each row
    of tokens below its frame, and as a map at the right.
    """
    rows, places = len(frames), len(bits)
    heights = bits.numpy()
    norm = Normalize(0, max(heights.max(), 1.0))
    scale = ScalarMappable(norm, HEAT)
    figure = plt.figure(figsize=((rows + 1.9) * side, 3.3), layout="constrained")
    spec = figure.add_gridspec(2, rows + 1, height_ratios=[1, 1.25], width_ratios=[1] * rows + [1.5])
    for i, frame in enumerate(frames):
        ax = bare(figure.add_subplot(spec[0, i]))
        image = pixels(frame)
        ax.imshow(image, interpolation="nearest")
        sampled = (i + 1) * image.shape[0] / rows
        ax.axhspan(sampled - 0.5, image.shape[0] - 0.5, color="#dddddd")
        ax.set_title(f"{(i + 1) * places // rows} tokens", fontsize=9)
    bars(figure.add_subplot(spec[1, :rows]), heights, rows, scale)
    ax = bare(figure.add_subplot(spec[:, rows]))
    ax.imshow(heights.reshape(rows, -1), cmap=HEAT, norm=norm, interpolation="nearest")
    ax.set_title("each at its place", fontsize=9)
    figure.colorbar(scale, ax=ax, location="bottom", label="surprise, bits", shrink=0.9)
    return done(figure)


def bars(ax: Axes, heights: np.ndarray, rows: int, scale: ScalarMappable) -> None:
    ax.bar(np.arange(len(heights)) + 0.5, heights, width=0.8, color=scale.to_rgba(heights))
    ends = range(0, len(heights) + 1, len(heights) // rows)
    for end in ends:
        ax.axvline(end, color="#bbbbbb", linewidth=0.6)
    ax.set(xticks=ends, xlim=(0, len(heights)), ylim=(0, 1.05 * max(heights.max(), 1.0)))
    ax.set_xlabel("place, row by row", fontsize=9)
    ax.set_ylabel("surprise $-\\log_2 p$, bits", fontsize=9)
    odds = ax.secondary_yaxis("right")
    ticks = range(0, int(heights.max()) + 1, 2)
    odds.set_yticks(ticks, [f"1/{2**bits}" if bits else "1" for bits in ticks])
    odds.set_ylabel("probability p", fontsize=9)
    for axis in (ax, odds):
        axis.tick_params(labelsize=8)
