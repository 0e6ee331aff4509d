r"""Where did it look? Attention maps caught from outside, while a network runs.

    with attention_maps(unet) as maps:
        unet(x, t, context)
    maps["mid_block.attentions.0.transformer_blocks.0.attn2"]       # `b h m n`: m places look at n words

A layer never makes its m x n map; not to make it is what the fused operators are for. A hook on each layer computes it
once more from the same input, and is gone after the `with` block. A network that nobody watches pays nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isqrt

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.attention.multi_head import MultiHeadAttention

Maps = dict[str, Tensor]
r"""The name of each attention layer in its network -> `b h m n`, every row of it a distribution."""

CROSS = "attn2"
"""What Stable Diffusion's checkpoints call the attention to the words; attn1 is that of the places among each other."""


@contextmanager
def attention_maps(network: nn.Module) -> Iterator[Maps]:
    r"""Inside the `with` block, the maps of the network's latest forward pass, without gradients.

    A sampler makes a forward pass a step, so copy them (`dict(maps)`) after each. Under guidance it doubles the batch:
    the rows b..2b-1 belong to the prompt. Raises ValueError for a network without attention.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, MultiHeadAttention)}
    if not layers:
        raise ValueError(f"{type(network).__name__} has no attention layer, so there are no maps to catch")
    maps: Maps = {}

    def watch(name: str, layer: MultiHeadAttention):
        @torch.no_grad()
        def hook(_, args, kwargs, output) -> None:
            maps[name] = layer.weights(*args, **kwargs)

        return layer.register_forward_hook(hook, with_kwargs=True)

    handles = [watch(name, layer) for name, layer in layers.items()]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def word_map(maps: Mapping[str, Tensor], tokens: Sequence[int], side: int) -> Float[Tensor, "b side side"]:
    r"""How much each place of a picture looks at some tokens of its prompt: from 0, not at all, to 1, at nothing else.

    The mean over heads and cross-attention layers (as in Tang et al. 2022), each layer's square of places repeated, not
    smoothed, to side x side. tokens: positions in the prompt; position 0 is the start token. Raises ValueError for maps
    without cross-attention, and for a layer whose places do not fit into the side a whole number of times.
    """
    layers = [map_ for name, map_ in maps.items() if name.endswith(CROSS)]
    if not layers:
        raise ValueError(f"none of the maps is one of words ({CROSS}); there are: {', '.join(maps) or 'none'}")
    return torch.stack([on_square(map_[..., list(tokens)].sum(-1).mean(1), side) for map_ in layers]).mean(0)


def on_square(x: Float[Tensor, "b m"], side: int) -> Float[Tensor, "b side side"]:
    r"""A number for each of m places, row by row on a square, as a picture with `side` pixels a side."""
    places = isqrt(x.shape[1])
    if places**2 != x.shape[1] or side % places:
        raise ValueError(f"{x.shape[1]} places do not make a square that fits into {side} x {side} pixels")
    square = rearrange(x, "b (h w) -> b 1 h w", h=places)
    return F.interpolate(square, scale_factor=side / places, mode="nearest")[:, 0]
