r"""Attention maps: softmax(Q K^T / sqrt(d_k)) of each layer, recorded while a network runs.

    with attention_maps(unet) as maps:
        unet(x, t, context)
    maps["mid_block.attentions.0.transformer_blocks.0.attn2"]       # `b h m n`: m positions attend to n tokens

A layer never computes its m x n map, since the fused operator avoids it. A forward hook on each layer computes it from
the same input, and is removed after the `with` block. Without hooks a network runs at its usual speed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from .multi_head import MultiHeadAttention

Maps = dict[str, Tensor]
r"""The name of each attention layer in its network -> `b h m n`, every row of it a distribution."""

CROSS = "attn2"
"""The name of cross-attention layers in Stable Diffusion's checkpoints; attn1 is self-attention."""


@contextmanager
def attention_maps(network: nn.Module) -> Iterator[Maps]:
    r"""Inside the `with` block, the maps of the network's latest forward pass, without gradients.

    A sampler makes a forward pass a step, so copy them (`dict(maps)`) after each. Under guidance the batch is twice as
    large, and the rows b..2b-1 belong to the prompt. Raises ValueError for a network without attention.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, MultiHeadAttention)}
    if not layers:
        raise ValueError(f"the network must have attention layers, but {type(network).__name__} has none")
    maps: Maps = {}

    def record(name: str, layer: MultiHeadAttention):
        @torch.no_grad()
        def hook(_, args, kwargs, output) -> None:
            maps[name] = layer.weights(*args, **kwargs)

        return layer.register_forward_hook(hook, with_kwargs=True)

    handles = [record(name, layer) for name, layer in layers.items()]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def on_square(x: Float[Tensor, "b m"], side: int) -> Float[Tensor, "b side side"]:
    r"""A number for each of m positions, row by row on a square, enlarged to `side` x `side` by repetition.

    Raises ValueError unless m is a square whose root divides `side`.
    """
    root = isqrt(x.shape[1])
    if root**2 != x.shape[1] or side % root:
        raise ValueError(f"the positions must form a square whose side divides {side}, got {x.shape[1]}")
    square = rearrange(x, "b (h w) -> b 1 h w", h=root)
    return F.interpolate(square, scale_factor=side / root, mode="nearest")[:, 0]
