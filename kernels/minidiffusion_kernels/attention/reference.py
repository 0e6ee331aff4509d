r"""Scaled dot-product attention as the article prints it.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V        (article 4.2.1; Vaswani et al. 2017, eq. 1)

It keeps the whole m x n matrix of weights in memory, which is what a fused kernel avoids, and what a student wants to
look at.
"""

import math

import torch
from torch import Tensor


def attention_weights(q: Tensor, k: Tensor, *, causal: bool = False, scale: float | None = None) -> Tensor:
    r"""The attention map softmax(Q K^T * scale): how much each query looks at each key.

    q: `b h m d`, k: `b h n d`; returns `b h m n`, every row a distribution. `scale` defaults to 1 / sqrt(d): without
    it the variance of q . k grows like d and the softmax saturates. With `causal`, query i sees the keys 0..i only.
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = q @ k.transpose(-1, -2) * scale
    if causal:
        m, n = scores.shape[-2:]
        future = torch.ones(m, n, dtype=torch.bool, device=q.device).triu(diagonal=1)
        scores = scores.masked_fill(future, float("-inf"))
    return scores.softmax(dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, scale: float | None = None) -> Tensor:
    r"""softmax(Q K^T * scale) V: q `b h m d`, k and v `b h n d` -> `b h m d`."""
    return attention_weights(q, k, causal=causal, scale=scale) @ v
