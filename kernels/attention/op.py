r"""Attention with a choice of implementation: same arguments, same numbers, different speed."""

import torch.nn.functional as F
from torch import Tensor

from ..backend import resolve
from . import reference


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
    backend: str = "auto",
) -> Tensor:
    r"""softmax(Q K^T * scale) V (article 4.2.1), by the formula or by PyTorch's fused operator.

    q: `b h m d` (batch, heads, queries, head width), k and v: `b h n d`; returns `b h m d`. `scale` defaults to
    1 / sqrt(d). Raises ValueError for an unknown backend.
    """
    if resolve(backend) == "reference":
        return reference.attention(q, k, v, causal=causal, scale=scale)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
