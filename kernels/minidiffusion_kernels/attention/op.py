r"""Attention with a choice of implementation: same arguments, same numbers, different speed."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from minidiffusion_kernels.attention import reference
from minidiffusion_kernels.backend import Backend, interpreting, resolve, wanted

OLDEST = (8, 0)  # an A100; before it, Triton multiplies matrices without the tensor cores
WIDTHS = range(16, 129)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
    backend: Backend = "auto",
) -> Tensor:
    r"""softmax(Q K^T * scale) V (article 4.2.1), by the formula, by PyTorch's fused operator, or by our kernel.

    q: `b h m d` (batch, heads, queries, head width), k and v: `b h n d`; returns `b h m d`. `scale` defaults to
    1 / sqrt(d). Raises ValueError or RuntimeError, saying what is valid, for an unknown backend, where "triton" cannot
    run, and for `causal` with m != n (is the first query the first key's, or the last the last's? Libraries differ).
    """
    if causal and q.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"causal attention of {q.shape[-2]} queries over {k.shape[-2]} keys; their numbers must be equal"
        )
    chosen = wanted(backend)
    if chosen != "auto" or q.is_cuda:  # on a CPU, "auto" goes straight to PyTorch
        chosen = resolve(chosen, q, OLDEST, obstacle(q, k, v, scale))
        if chosen == "reference":
            return reference.attention(q, k, v, causal=causal, scale=scale)
        if chosen == "triton":
            return _fused(q, k, v, causal, scale)
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        # There, PyTorch's fused backward takes ten times as long in bfloat16 as in float32.
        with torch.autocast("cpu", enabled=False):
            q, k, v = q.float(), k.float(), v.float()
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale).bfloat16()
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)


def _fused(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float | None) -> Tensor:
    if torch.is_autocast_enabled(q.device.type):  # as PyTorch's operator does
        q, k, v = (x.to(torch.get_autocast_dtype(q.device.type)) for x in (q, k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return fused_attention(*map(contiguous_rows, (q, k, v)), causal, scale)[0]


def obstacle(q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> str | None:
    """Why the kernel cannot take these arguments; None if it can."""
    autocast = torch.is_autocast_enabled(q.device.type)
    if not autocast and not (q.dtype == k.dtype == v.dtype):
        return f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype}; all three must have one dtype"
    if not (q.dtype in DTYPES or (q.dtype == torch.float64 and interpreting())):
        return f"q is {q.dtype}; it must be float32, float16 or bfloat16"
    if q.ndim != 4 or k.ndim != 4 or k.shape != v.shape or q.shape[:2] != k.shape[:2] or q.shape[3] != k.shape[3]:
        shapes = ", ".join(str(tuple(x.shape)) for x in (q, k, v))
        return f"q, k, v have the shapes {shapes}; they must be `b h m d`, `b h n d` and `b h n d`"
    if q.shape[3] not in WIDTHS:
        return f"heads are {q.shape[3]} wide; they must be {WIDTHS.start} to {WIDTHS.stop - 1}"
    if q.numel() == 0 or k.numel() == 0:
        return "there must be at least one query and one key"
    if q.device != k.device or q.device != v.device:
        return f"q, k, v are on {q.device}, {k.device}, {v.device}; all three must be on one device"
    if scale is not None and not scale > 0:
        return f"scale is {scale}; it must be positive"
    return None


def contiguous_rows(x: Tensor) -> Tensor:
    """Any strides will do, but the numbers of one row must be neighbours."""
    return x if x.stride(-1) == 1 else x.contiguous()


# The kernels as PyTorch operators. Autograd, torch.compile and FakeTensorMode cannot look into them; what they need to
# know is registered here.


@torch.library.custom_op("minidiffusion::attention", mutates_args=())
def fused_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    from minidiffusion_kernels.attention.forward import forward  # only now: importing this package must not load triton

    return forward(q, k, v, causal, scale)


@torch.library.custom_op("minidiffusion::attention_backward", mutates_args=())
def fused_attention_backward(
    do: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor, softmax: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    from minidiffusion_kernels.attention.backward import backward

    return backward(do, q, k, v, o, softmax, causal, scale)


def _heads_last(x: Tensor) -> Tensor:
    b, h, m, d = x.shape
    return x.new_empty(b, m, h, d).transpose(1, 2)


@fused_attention.register_fake
def _(q, k, v, causal, scale):
    b, h, m, _ = q.shape
    return _heads_last(q), q.new_empty(b, h, 2, m, dtype=torch.promote_types(q.dtype, torch.float32))


@fused_attention_backward.register_fake
def _(do, q, k, v, o, softmax, causal, scale):
    return _heads_last(q), _heads_last(k), _heads_last(v)


def _save(ctx, inputs, output):
    q, k, v, ctx.causal, ctx.scale = inputs
    o, softmax = output
    ctx.mark_non_differentiable(softmax)
    ctx.save_for_backward(q, k, v, o, softmax)  # two numbers a query instead of its weights


def _backward(ctx, do, _):
    return *fused_attention_backward(contiguous_rows(do), *ctx.saved_tensors, ctx.causal, ctx.scale), None, None


fused_attention.register_autograd(_backward, setup_context=_save)
