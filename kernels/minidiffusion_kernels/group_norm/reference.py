r"""Group normalisation, and the SiLU that follows it in every residual block, by the formula.

    y = (x - mean_g) / sqrt(var_g + eps) * weight_c + bias_c  (Wu & He 2018, section 3.1),    SiLU(y) = y * sigmoid(y)

mean_g and var_g run over the pixels and the channels of one group of one sample; var_g divides by N, not N - 1.
"""

import torch
from torch import Tensor


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float = 1e-5, *, silu: bool = False
) -> Tensor:
    r"""x: `b c ...` with c divisible by `groups`; weight, bias: `c`. Returns the shape of x."""
    b, c = x.shape[:2]
    grouped = x.reshape(b, groups, -1)
    mean = grouped.mean(dim=-1, keepdim=True)
    var = (grouped - mean).square().mean(dim=-1, keepdim=True)
    y = ((grouped - mean) / (var + eps).sqrt()).reshape(x.shape)
    per_channel = (1, c, *[1] * (x.ndim - 2))
    if weight is not None:
        y = y * weight.reshape(per_channel)
    if bias is not None:
        y = y + bias.reshape(per_channel)
    return y * torch.sigmoid(y) if silu else y
