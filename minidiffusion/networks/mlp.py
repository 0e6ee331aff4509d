r"""The smallest denoiser: a multi-layer perceptron for points and tiny pictures.

    x_t, flattened --linear--> h
    `depth` times:  h <- h + linear(silu(linear(norm(h)) + linear(time)))
    h --norm, silu, linear--> prediction

Its input includes t, which every denoiser needs and the article's listing leaves out. It knows nothing of which pixels
are neighbours, so pictures of more than a few hundred pixels need the U-Net.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .embedding import TimestepEmbedding, sinusoidal_embedding


@dataclass(frozen=True)
class MLPConfig:
    shape: Sequence[int] = (2,)
    """The shape of one sample: (2,) for points in the plane, (1, 8, 8) for the digits."""
    width: int = 128
    depth: int = 3


class MLP(nn.Module):
    r"""x_t `b *shape`, t `b` (0 is the least noise) -> a prediction of the shape of x_t."""

    def __init__(self, config: MLPConfig):
        super().__init__()
        self.config = config
        size, width = math.prod(config.shape), config.width
        self.time_embedding = TimestepEmbedding(width, width)
        self.proj_in = nn.Linear(size, width)
        self.blocks = nn.ModuleList(MLPBlock(width) for _ in range(config.depth))
        self.norm_out = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, size)
        nn.init.zeros_(self.proj_out.weight)  # the first prediction is 0, whose error is that of the mean
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x_t: Float[Tensor, "b *shape"], t: Tensor) -> Float[Tensor, "b *shape"]:
        time = F.silu(self.time_embedding(sinusoidal_embedding(t, self.config.width)))
        h = self.proj_in(x_t.flatten(1))
        for block in self.blocks:
            h = block(h, time)
        return self.proj_out(F.silu(self.norm_out(h))).reshape(x_t.shape)


class MLPBlock(nn.Module):
    r"""A residual block with the time embedding as a second input: `b width -> b width`."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear_1 = nn.Linear(width, 2 * width)
        self.time_proj = nn.Linear(width, 2 * width)
        self.linear_2 = nn.Linear(2 * width, width)

    def forward(self, h: Float[Tensor, "b width"], time: Float[Tensor, "b width"]) -> Float[Tensor, "b width"]:
        return h + self.linear_2(F.silu(self.linear_1(self.norm(h)) + self.time_proj(time)))
