r"""Time embeddings: the time t as a vector (article 3.1.2; Vaswani et al. 2017, section 3.5; Ho et al. 2020, app. B).

A single number t is a poor input for a network. Sines and cosines of t at many frequencies make a vector of it, in
which near times have near vectors and far times do not.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def sinusoidal_embedding(t: Tensor, dim: int, max_period: float = 10_000.0) -> Float[Tensor, "b dim"]:
    r"""[cos(t w_0), ..., cos(t w_k), sin(t w_0), ..., sin(t w_k)] with w_i = max_period^(-i / (dim/2)).

    t: `b` times (whole or fractional) -> `b dim`. Cosines come first, as in Stable Diffusion.
    """
    half = dim // 2
    frequency = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angle = t.float()[:, None] * frequency[None, :]
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    r"""Two linear layers that mix the sinusoids: `b d_in -> b d_out`."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.linear_1 = nn.Linear(dim_in, dim_out)
        self.linear_2 = nn.Linear(dim_out, dim_out)

    def forward(self, x: Float[Tensor, "b d_in"]) -> Float[Tensor, "b d_out"]:
        return self.linear_2(F.silu(self.linear_1(x)))
