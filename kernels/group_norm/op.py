r"""GroupNorm (+ SiLU) with a choice of implementation: same arguments, same numbers, different speed."""

import torch.nn.functional as F
from torch import Tensor

from ..backend import resolve
from . import reference


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    silu: bool = False,
    backend: str = "auto",
) -> Tensor:
    r"""Normalise each group of channels of each sample, then optionally SiLU (Wu & He 2018).

    x: `b c ...` with c divisible by `groups`; weight, bias: `c`. Raises ValueError for an unknown backend.
    """
    if resolve(backend) == "reference":
        return reference.group_norm(x, groups, weight, bias, eps, silu=silu)
    y = F.group_norm(x, groups, weight, bias, eps)
    return F.silu(y) if silu else y
