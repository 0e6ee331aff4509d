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

from minidiffusion_kernels.backend import launching_on
from minidiffusion_kernels.group_norm.forward import parameter, per_channel, sample, tile
from minidiffusion_kernels.group_norm.layout import Layout
from minidiffusion_kernels.interpreter import jit

MOST = 64  # registers a thread: the compiler can do with them, and more programs fit a multiprocessor


@jit
def through_silu(dy, z):
    r"""dy silu'(z), silu'(z) = s (1 + z (1 - s)) with s = sigmoid(z)."""
    s = 1 / (1 + tl.exp(-z))
    return dy * s * (1 + z * (1 - s))


@jit
def centred_and_dz(x_ptr, dy_ptr, offsets, inside, mean, scale, bias, SILU: tl.constexpr):
    """x - mean and dz of a tile. Beyond its edges dz is 0, and so is what it adds to a sum."""
    centred = tl.load(x_ptr + offsets, mask=inside, other=0).to(mean.dtype) - mean
    dz = tl.load(dy_ptr + offsets, mask=inside, other=0).to(mean.dtype)
    return centred, through_silu(dz, centred * scale + bias) if SILU else dz


@jit
def backward_small(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, mean_ptr, rstd_ptr, dx_ptr, sum_dz_ptr, sum_dz_xhat_ptr,
    C, S, members, T, stride_c, stride_s, SILU: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """One program a group: the sums of its channels, c1, c2 and dx."""
    n, g = tl.program_id(0) // (C // members), tl.program_id(0) % (C // members)
    first = sample(n, C, S)
    channel, pixel = g * members + tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_S)
    mine = channel < (g + 1) * members
    offsets, inside = tile(channel, (g + 1) * members, pixel, S, stride_c, stride_s)
    mean, rstd = tl.load(mean_ptr + tl.program_id(0)), tl.load(rstd_ptr + tl.program_id(0))
    weight, bias = parameter(weight_ptr, channel, mine, 1, mean), parameter(bias_ptr, channel, mine, 0, mean)
    centred, dz = centred_and_dz(x_ptr + first, dy_ptr + first, offsets, inside, mean, rstd * weight, bias, SILU)
    xhat = centred * rstd
    sum_dz, sum_dz_xhat = tl.sum(dz, axis=1), tl.sum(dz * xhat, axis=1)
    c1 = tl.sum(tl.sum(weight * sum_dz[:, None], axis=1), axis=0) / (members * S)
    c2 = tl.sum(tl.sum(weight * sum_dz_xhat[:, None], axis=1), axis=0) / (members * S)
    tl.store(dx_ptr + first + offsets, rstd * (weight * dz - c1 - c2 * xhat), mask=inside)
    tl.store(sum_dz_ptr + n * C + channel, sum_dz, mask=mine)
    tl.store(sum_dz_xhat_ptr + n * C + channel, sum_dz_xhat, mask=mine)


@jit
def partial_sums(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, mean_ptr, rstd_ptr, sum_dz_ptr, sum_dz_centred_ptr,
    C, S, members, T, stride_c, stride_s,
    SILU: tl.constexpr, SPLIT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """sum dz and sum dz (x - mean), of SPLIT pixels of each of BLOCK_C channels."""
    n, t = tl.program_id(0) // T, tl.program_id(0) % T
    first = sample(n, C, S)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mean, scale, bias = per_channel(mean_ptr, rstd_ptr, weight_ptr, bias_ptr, n, channel, C, members)
    sum_dz = tl.zeros([BLOCK_C, BLOCK_S], mean.dtype)
    sum_dz_centred = tl.zeros([BLOCK_C, BLOCK_S], mean.dtype)
    for start in range(t * SPLIT, tl.minimum((t + 1) * SPLIT, S), BLOCK_S):
        pixel = start + tl.arange(0, BLOCK_S)
        offsets, inside = tile(channel, C, pixel, S, stride_c, stride_s)
        centred, dz = centred_and_dz(x_ptr + first, dy_ptr + first, offsets, inside, mean, scale, bias, SILU)
        sum_dz += dz
        sum_dz_centred += dz * centred
    parts = (n * C + channel) * T + t
    tl.store(sum_dz_ptr + parts, tl.sum(sum_dz, axis=1), mask=channel < C)
    tl.store(sum_dz_centred_ptr + parts, tl.sum(sum_dz_centred, axis=1), mask=channel < C)


@jit
def input_gradient(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, mean_ptr, rstd_ptr, c1_ptr, c2_ptr, dx_ptr,
    C, S, members, T, stride_c, stride_s,
    SILU: tl.constexpr, SPLIT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """dx = scale dz - c1 - c2 (x - mean), scale = rstd w, where c1 has one rstd in it, and c2 two."""
    n, t = tl.program_id(0) // T, tl.program_id(0) % T
    first = sample(n, C, S)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mean, scale, bias = per_channel(mean_ptr, rstd_ptr, weight_ptr, bias_ptr, n, channel, C, members)
    c1, c2, _ = per_channel(c1_ptr, c2_ptr, None, None, n, channel, C, members)
    for start in range(t * SPLIT, tl.minimum((t + 1) * SPLIT, S), BLOCK_S):
        pixel = start + tl.arange(0, BLOCK_S)
        offsets, inside = tile(channel, C, pixel, S, stride_c, stride_s)
        centred, dz = centred_and_dz(x_ptr + first, dy_ptr + first, offsets, inside, mean, scale, bias, SILU)
        tl.store(dx_ptr + first + offsets, scale * dz - c1 - c2 * centred, mask=inside)


def backward(
    dy: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, rstd: Tensor,
    groups: int, silu: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    r"""dy, x: `n c ...`, dense and laid out alike -> dx like x, and dweight, dbias: `c`, as wide as mean."""
    at = Layout.of(x, groups)
    dx, saved = torch.empty_like(x), (dy, x, weight, bias, mean, rstd)
    sums = mean.new_empty(2, at.N, at.C, 1 if at.small else at.T)
    with launching_on(x):
        if at.small:
            backward_small[at.grid_of_groups](*saved, dx, *sums, *at.sizes, silu, **at.group, maxnreg=MOST)
            sums = sums.sum(-1)
        else:
            partial_sums[at.grid_of_parts](*saved, *sums, *at.sizes, silu, **at.part, maxnreg=MOST)
            sums = sums.sum(-1).view(2, at.N, groups, at.members)  # in a fixed order, and few: PyTorch can do it
            sums[1] *= rstd[:, :, None]  # x - mean becomes xhat
            weighted = sums if weight is None else sums * weight.view(groups, at.members)
            c1, c2 = weighted.sum(-1) * rstd / (at.members * at.S)
            input_gradient[at.grid_of_parts](*saved, c1, c2 * rstd, dx, *at.sizes, silu, **at.part)
    sum_dz, sum_dz_xhat = sums.view(2, at.N, at.C)
    return dx, sum_dz_xhat.sum(0), sum_dz.sum(0)
