r"""GroupNorm (+ SiLU) with a choice of implementation: same arguments, same numbers, different speed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiffusion_kernels.backend import Backend, resolve, wanted
from minidiffusion_kernels.group_norm import reference
from minidiffusion_kernels.group_norm.layout import dense

OLDEST = (7, 5)  # a T4
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    silu: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    r"""Normalise each group of channels of each sample, then optionally SiLU (Wu & He 2018).

    x: `b c ...` with c divisible by `groups`; weight, bias: `c`. Returns the shape of x; "triton" keeps its memory
    format (contiguous or channels_last). Raises ValueError or RuntimeError, saying what is valid, for an unknown
    backend and where "triton" cannot run.
    """
    chosen = wanted(backend)
    if chosen != "auto" or x.is_cuda:  # on a CPU, "auto" goes straight to PyTorch
        chosen = resolve(chosen, x, OLDEST, obstacle(x, groups, weight, bias))
        if chosen == "reference":
            return reference.group_norm(x, groups, weight, bias, eps, silu=silu)
        if chosen == "triton":
            return fused_group_norm(dense(x), weight, bias, groups, eps, silu)[0]
    y = F.group_norm(x, groups, weight, bias, eps)
    return F.silu(y) if silu else y


def obstacle(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None) -> str | None:
    """Why the kernel cannot take these arguments; None if it can."""
    if x.dtype not in DTYPES:
        return f"x is {x.dtype}; it must be float32, float16, bfloat16 or float64"
    if x.ndim < 2 or x.numel() == 0:
        return f"x has the shape {tuple(x.shape)}; it must be `b c ...` with at least one element"
    if groups < 1 or x.shape[1] % groups:
        return f"{x.shape[1]} channels cannot be shared evenly by {groups} groups"
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and (parameter.shape != x.shape[1:2] or parameter.device != x.device):
            return (
                f"{name} has the shape {tuple(parameter.shape)} on {parameter.device}; "
                f"it must be ({x.shape[1]},) on {x.device}"
            )
    return None


# The kernels as PyTorch operators. Autograd, torch.compile and FakeTensorMode cannot look into them; what they need to
# know is registered here.


@torch.library.custom_op("minidiffusion::group_norm", mutates_args=())
def fused_group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from minidiffusion_kernels.group_norm.forward import forward  # only now: importing the package must not load triton

    return forward(x, contiguous(weight), contiguous(bias), groups, eps, silu)


@torch.library.custom_op("minidiffusion::group_norm_backward", mutates_args=())
def fused_group_norm_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    groups: int,
    silu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    from minidiffusion_kernels.group_norm.backward import backward

    return backward(dy, x, contiguous(weight), contiguous(bias), mean, rstd, groups, silu)


def contiguous(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.contiguous()


@fused_group_norm.register_fake
def _(x, weight, bias, groups, eps, silu):
    wide = torch.promote_types(x.dtype, torch.float32)
    statistics = x.new_empty(x.shape[0], groups, dtype=wide)
    return torch.empty_like(x), statistics, torch.empty_like(statistics)


@fused_group_norm_backward.register_fake
def _(dy, x, weight, bias, mean, rstd, groups, silu):
    per_channel = mean.new_empty(x.shape[1])
    return torch.empty_like(x), per_channel, torch.empty_like(per_channel)


def _save(ctx, inputs, output):
    x, weight, bias, ctx.groups, _, ctx.silu = inputs
    _, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    ctx.save_for_backward(x, weight, bias, mean, rstd)  # not y: with SiLU, x is all that is needed


def _backward(ctx, dy, *_):
    x, weight, bias, mean, rstd = ctx.saved_tensors
    dx, dweight, dbias = fused_group_norm_backward(dense(dy, like=x), x, weight, bias, mean, rstd, ctx.groups, ctx.silu)
    dweight = None if weight is None else dweight.to(weight.dtype)
    dbias = None if bias is None else dbias.to(bias.dtype)
    return dx, dweight, dbias, None, None, None


fused_group_norm.register_autograd(_backward, setup_context=_save)
