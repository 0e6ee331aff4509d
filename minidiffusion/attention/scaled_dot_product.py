r"""Attention: the mean of the values, weighted by how well each key answers the query (article 4.2.1, 4.2.3).

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V                                (4.2.1; also 2.3.1, 3.3.2)
    z_i = sum_j  exp f(x_i, x_j) / sum_k exp f(x_i, x_k)  x_j                        (4.2.3)

`attention` is both: the first with f = `scaled`, which is its default, the second with q = k = v = x and any f. (The
article ends its 4.2.3 in an x without an index; what is summed over j must be x_j.)

Networks call `scaled_dot_product`: the same numbers by a fused operator, which never stores the m x n matrix, and with
a causal mask if asked. `attention_weights` is that matrix, for those who want to look at it. Both come from the package
of the kernels. Its own reference (`attention/reference.py`, with scale and mask) is tested against this file, and each
kernel against that reference.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion_kernels.attention import attention as scaled_dot_product
from minidiffusion_kernels.attention import attention_weights

__all__ = ["attention", "attention_weights", "dot_product", "gaussian", "scaled", "scaled_dot_product"]

Similarity = Callable[[Tensor, Tensor], Tensor]
r"""f(x, y): `... m d` and `... n d` -> `... m n`, a number for each pair, the larger the more alike."""


def dot_product(x: Float[Tensor, "*b m d"], y: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b m n"]:
    r"""x_i . y_j: the longer of two vectors in one direction is the more alike."""
    return x @ y.mT


def scaled(x: Float[Tensor, "*b m d"], y: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b m n"]:
    r"""x_i . y_j / sqrt(d): of variance 1 for independent standard normal numbers, whatever d is."""
    return dot_product(x, y) / math.sqrt(x.shape[-1])


def attention(
    q: Float[Tensor, "*b m d"], k: Float[Tensor, "*b n d"], v: Float[Tensor, "*b n e"], f: Similarity = scaled
) -> Float[Tensor, "*b m e"]:
    r"""softmax_j(f(q_i, k_j)) v_j, summed over j: what query i finds among the values.

    With f = `scaled` it is softmax(Q K^T / sqrt(d)) V. With f = `gaussian(reach)` it is a kernel smoother (Nadaraya
    1964), and with the data set as keys and values the best possible denoiser, `diffusion.ideal.finite_data`.
    """
    return f(q, k).softmax(dim=-1) @ v


def gaussian(reach: float | Tensor) -> Similarity:
    r"""-|x_i - y_j|^2 / (2 reach^2): alike is what lies near; `reach` is in the units of x."""

    def f(x: Float[Tensor, "*b m d"], y: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b m n"]:
        # By differences; |x|^2 - 2 x.y + |y|^2 would lose the digits of small distances.
        distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        return -0.5 * (distance / reach).square()

    return f
