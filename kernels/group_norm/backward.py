r"""GroupNorm (+ SiLU) backwards, in Triton.

With xhat = (x - mean) rstd, z = xhat w + b and dz = dy silu'(z) (dz = dy without SiLU), for each channel

    dbias = sum dz,    dweight = sum dz xhat                                  over its pixels, in all samples
    dx = rstd (w dz - c1 - c2 xhat),    c1 = mean_g(w dz),   c2 = mean_g(w dz xhat)

c1 and c2 are what the mean and the variance pass back to every pixel of the group. x is the only activation kept from
the forward pass: xhat, z and silu'(z) are computed once more, which costs less than reading them would.

Both sums are taken channel by channel, so they serve all four results, and in a fixed order, by one program each: no
atomic additions, the same bits every time. A small group again stays in registers (x and dy read once, dx written once:
3N bytes); a large one is read twice (5N).
"""

import torch
import triton.language as tl
from torch import Tensor

from ..backend import launching_on
from ..interpreter import jit
from .forward import affine, per_group, tile
from .layout import Layout


@jit
def through_silu(dy, z):
    r"""dy silu'(z), silu'(z) = s (1 + z (1 - s)) with s = sigmoid(z)."""
    s = 1 / (1 + tl.exp(-z))
    return dy * s * (1 + z * (1 - s))


@jit
def channel_weight(weight_ptr, channel, inside, like):
    if weight_ptr is not None:
        return tl.load(weight_ptr + channel, mask=inside, other=0).to(like.dtype)
    else:
        return tl.full(channel.shape, 1, like.dtype)


@jit
def backward_small(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, mean_ptr, rstd_ptr, dx_ptr, sum_dz_ptr, sum_dz_xhat_ptr, C, S, G,
    stride_c, stride_s, SILU: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """One program a group: the sums of its channels, c1, c2 and dx."""
    n, g = tl.program_id(0) // G, tl.program_id(0) % G
    channel, pixel = g * (C // G) + tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_S)
    end = g * (C // G) + C // G
    offsets, inside = tile(n, channel, end, pixel, C, S, stride_c, stride_s)
    mine = channel < end
    mean, rstd = tl.load(mean_ptr + tl.program_id(0)), tl.load(rstd_ptr + tl.program_id(0))
    xhat = (tl.load(x_ptr + offsets, mask=inside, other=0).to(mean.dtype) - mean) * rstd
    dz = tl.load(dy_ptr + offsets, mask=inside, other=0).to(mean.dtype)
    if SILU:
        dz = through_silu(dz, affine(xhat, weight_ptr, bias_ptr, channel, mine))
    sum_dz, sum_dz_xhat = tl.sum(dz, axis=1), tl.sum(dz * xhat, axis=1)
    weight = channel_weight(weight_ptr, channel, mine, mean)
    c1 = tl.sum(weight * sum_dz, axis=0) / (C // G * S)
    c2 = tl.sum(weight * sum_dz_xhat, axis=0) / (C // G * S)
    tl.store(dx_ptr + offsets, rstd * (weight[:, None] * dz - c1 - c2 * xhat), mask=inside)
    tl.store(sum_dz_ptr + n * C + channel, sum_dz, mask=mine)
    tl.store(sum_dz_xhat_ptr + n * C + channel, sum_dz_xhat, mask=mine)


@jit
def partial_sums(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, mean_ptr, rstd_ptr, sum_dz_ptr, sum_dz_xhat_ptr, C, S, G, T,
    stride_c, stride_s, SILU: tl.constexpr, SPLIT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """sum dz and sum dz xhat, of SPLIT pixels of each of BLOCK_C channels."""
    n, t = tl.program_id(0) // T, tl.program_id(0) % T
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mean, rstd = per_group(mean_ptr, rstd_ptr, n, channel, C, G)
    sum_dz, sum_dz_xhat = tl.zeros([BLOCK_C], mean.dtype), tl.zeros([BLOCK_C], mean.dtype)
    for start in range(t * SPLIT, tl.minimum((t + 1) * SPLIT, S), BLOCK_S):
        pixel = start + tl.arange(0, BLOCK_S)
        offsets, inside = tile(n, channel, C, pixel, C, S, stride_c, stride_s)
        xhat = (tl.load(x_ptr + offsets, mask=inside, other=0).to(mean.dtype) - mean) * rstd
        # 0 beyond the edge, and so is what it adds to the sums
        dz = tl.load(dy_ptr + offsets, mask=inside, other=0).to(mean.dtype)
        if SILU:
            dz = through_silu(dz, affine(xhat, weight_ptr, bias_ptr, channel, channel < C))
        sum_dz += tl.sum(dz, axis=1)
        sum_dz_xhat += tl.sum(dz * xhat, axis=1)
    parts = (n * C + channel) * T + t
    tl.store(sum_dz_ptr + parts, sum_dz, mask=channel < C)
    tl.store(sum_dz_xhat_ptr + parts, sum_dz_xhat, mask=channel < C)


@jit
def input_gradient(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, mean_ptr, rstd_ptr, c1_ptr, c2_ptr, dx_ptr, C, S, G,
    stride_c, stride_s, SILU: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """dx, tile by tile, once c1 and c2 of every group are known."""
    n, s = tl.program_id(0) // tl.cdiv(S, BLOCK_S), tl.program_id(0) % tl.cdiv(S, BLOCK_S)
    pixel = s * BLOCK_S + tl.arange(0, BLOCK_S)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    offsets, inside = tile(n, channel, C, pixel, C, S, stride_c, stride_s)
    mean, rstd = per_group(mean_ptr, rstd_ptr, n, channel, C, G)
    c1, c2 = per_group(c1_ptr, c2_ptr, n, channel, C, G)
    xhat = (tl.load(x_ptr + offsets, mask=inside, other=0).to(mean.dtype) - mean) * rstd
    dz = tl.load(dy_ptr + offsets, mask=inside, other=0).to(mean.dtype)
    if SILU:
        dz = through_silu(dz, affine(xhat, weight_ptr, bias_ptr, channel, channel < C))
    weight = channel_weight(weight_ptr, channel, channel < C, mean)[:, None]
    tl.store(dx_ptr + offsets, rstd * (weight * dz - c1 - c2 * xhat), mask=inside)


def backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    groups: int,
    silu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""dy, x: `n c ...`, dense and laid out alike -> dx like x, and dweight, dbias: `c`, as wide as mean."""
    at = Layout.of(x, groups)
    dx, saved = torch.empty_like(x), (dy, x, weight, bias, mean, rstd)
    sums = mean.new_empty(2, at.N, at.C, 1 if at.small else at.T)
    with launching_on(x):
        if at.small:
            backward_small[(at.N * at.G,)](
                *saved, dx, *sums, at.C, at.S, at.G, at.stride_c, at.stride_s, silu, **at.group_tile,
                enable_fp_fusion=True,
            )  # fmt: skip
            return dx, sums[1].sum((0, 2)), sums[0].sum((0, 2))
        partial_sums[at.split_grid](
            *saved, *sums, at.C, at.S, at.G, at.T, at.stride_c, at.stride_s, silu, at.SPLIT, **at.tile,
            enable_fp_fusion=True,
        )  # fmt: skip
        sums = sums.sum(-1)  # a fixed order, and few numbers: PyTorch can do it
        weighted = sums if weight is None else sums * weight
        c1, c2 = weighted.view(2, at.N, at.G, at.members).sum(-1) / (at.members * at.S)
        input_gradient[at.tile_grid](
            *saved, c1, c2, dx, at.C, at.S, at.G, at.stride_c, at.stride_s, silu, **at.tile, enable_fp_fusion=True
        )
    return dx, sums[1].sum(0), sums[0].sum(0)
