r"""Attention by a formula, twice: for scaled dot products (article 4.2.1), and for any similarity (article 4.2.3).

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V                                (4.2.1; also 2.3.1, 3.3.2)
    z_i = sum_j  exp f(x_i, x_j) / sum_k exp f(x_i, x_k)  x_j                        (4.2.3)

The article ends its 4.2.3 in an x without an index; what is summed over j must be x_j.

The first is written down in `kernels/attention/reference.py`, beside the fused kernel that must agree with it.
`scaled_dot_product` computes the output, `attention_weights` the map softmax(Q K^T / sqrt(d_k)) that lessons draw.
The second shows what the first is one case of: f says how alike two things are, and z_i is a mean of the x_j, in which
those count most that are like x_i.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion_kernels.attention import attention as scaled_dot_product
from minidiffusion_kernels.attention import attention_weights

__all__ = ["attention_weights", "dot_product", "gaussian", "scaled", "scaled_dot_product", "similarity_attention"]

Similarity = Callable[[Tensor, Tensor], Tensor]
r"""f(x, y): `... m d` and `... n d` -> `... m n`, a number for each pair, the larger the more alike."""


def similarity_attention(
    x: Float[Tensor, "*b m d"], y: Float[Tensor, "*b n d"], f: Similarity
) -> Float[Tensor, "*b m d"]:
    r"""z_i = sum_j softmax_j(f(x_i, y_j)) y_j: what x_i finds among the y. Article 4.2.3 is y = x, self-attention.

    With f = `scaled` it is Attention(x, y, y). With f = `gaussian(reach)` it is a kernel smoother (Nadaraya 1964), and
    over the data set that is the best possible denoiser, `diffusion.ideal.finite_data`.
    """
    return f(x, y).softmax(dim=-1) @ y


def dot_product(x: Float[Tensor, "*b m d"], y: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b m n"]:
    r"""x_i . y_j: the longer of two vectors in one direction is the more alike."""
    return x @ y.mT


def scaled(x: Float[Tensor, "*b m d"], y: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b m n"]:
    r"""x_i . y_j / sqrt(d): of variance 1 for independent standard normal numbers, whatever d is."""
    return dot_product(x, y) / math.sqrt(x.shape[-1])


def gaussian(reach: float | Tensor) -> Similarity:
    r"""-|x_i - y_j|^2 / (2 reach^2): alike is what lies near; `reach` is in the units of x."""

    def f(x: Float[Tensor, "*b m d"], y: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b m n"]:
        # By differences; |x|^2 - 2 x.y + |y|^2 would lose the digits of small distances.
        distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        return -0.5 * (distance / reach).square()

    return f
