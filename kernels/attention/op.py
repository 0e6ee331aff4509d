r"""Attention with a choice of implementation: same arguments, same numbers, different speed."""

import torch
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
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        # There, PyTorch's fused backward takes ten times as long in bfloat16 as in float32.
        with torch.autocast("cpu", enabled=False):
            q, k, v = q.float(), k.float(), v.float()
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale).bfloat16()
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
