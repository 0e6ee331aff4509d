r"""GroupNorm (+ SiLU) forwards, in Triton.

    mean_g = sum x / n,   rstd_g = 1 / sqrt(sum (x - mean_g)^2 / n + eps),   n = C/G * S     (Wu & He 2018, eq. 1-3)
    z = (x - mean_g) rstd_g weight_c + bias_c,   y = z or z sigmoid(z)

Every kernel sees x as (N, C, S), S the pixels of one channel, in tiles of BLOCK_C channels x BLOCK_S pixels. In NCHW
pixels are neighbours in memory, in channels_last channels are; only the strides and the shape of the tile differ.

A small group fits into the registers of one program: x is read once and y written once (2N bytes). A large one needs
two passes, with the sums of many programs between them (3N bytes): `partial_moments`, `merge_moments`, `normalize`.

The sum of squares is never taken as E[x^2] - E[x]^2, which cancels (a mean of 1000 standard deviations costs it six of
the seven digits of float32). Every lane of a tile keeps the mean and the sum of squares about it of what it has seen,
and lanes, and then programs, are merged by Chan, Golub & LeVeque (1983), eq. 2.1:

    M = M_a + M_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b),    M = sum (x - mean)^2
"""

import triton.language as tl
from torch import Tensor

from minidiffusion_kernels.backend import launching_on
from minidiffusion_kernels.group_norm.layout import Layout
from minidiffusion_kernels.interpreter import jit


@jit
def sample(n, C, S):
    """Where sample n begins. One sample fits 31 bits, a batch may not."""
    return n.to(tl.int64) * C * S


@jit
def tile(channel, end, pixel, S, stride_c, stride_s):
    """Where in a sample these pixels of these channels are, and which of them are before channel `end` and pixel S."""
    offsets = channel[:, None] * stride_c + pixel[None, :] * stride_s
    return offsets, (channel < end)[:, None] & (pixel < S)[None, :]


@jit
def parameter(ptr, index, inside, absent: tl.constexpr, like):
    """One number a channel, as a column; `absent` if there is no such parameter."""
    if ptr is not None:
        return tl.load(ptr + index, mask=inside, other=0).to(like.dtype)[:, None]
    else:
        return tl.full([1, 1], absent, like.dtype)


@jit
def per_channel(mean_ptr, rstd_ptr, weight_ptr, bias_ptr, n, channel, C, members):
    """mean, scale and bias of z = (x - mean) scale + bias, as columns."""
    group = n * (C // members) + channel // members
    inside = channel < C
    mean = tl.load(mean_ptr + group, mask=inside, other=0)[:, None]
    rstd = tl.load(rstd_ptr + group, mask=inside, other=0)[:, None]
    bias = parameter(bias_ptr, channel, inside, 0, mean)
    return mean, rstd * parameter(weight_ptr, channel, inside, 1, mean), bias


@jit
def silu(z):
    return z / (1 + tl.exp(-z))


@jit
def merge(mean, m2, n, other_mean, other_m2, other_n):
    """Two parts as one, lane by lane. An empty one changes nothing."""
    delta, share = other_mean - mean, other_n / tl.maximum(n + other_n, 1)
    return mean + delta * share, m2 + other_m2 + delta * delta * n * share, n + other_n


@jit
def merge_lanes(mean, m2, n):
    """All lanes of a row as one: M = sum M_i + n_i (mean_i - mean)^2."""
    whole = tl.sum(mean * n, axis=1) / tl.sum(n, axis=1)
    delta = mean - whole[:, None]
    return whole, tl.sum(m2 + delta * delta * n, axis=1)


@jit
def normalize_small(
    x_ptr, weight_ptr, bias_ptr, y_ptr, mean_ptr, rstd_ptr, eps, C, S, members, T, stride_c, stride_s,
    SILU: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """One program a group, which stays in registers between the statistics and their use."""
    n, g = tl.program_id(0) // (C // members), tl.program_id(0) % (C // members)
    first = sample(n, C, S)
    channel, pixel = g * members + tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_S)
    end = (g + 1) * members  # of the group, not of all channels: what comes then is the next group's
    offsets, inside = tile(channel, end, pixel, S, stride_c, stride_s)
    x = tl.load(x_ptr + first + offsets, mask=inside, other=0).to(mean_ptr.dtype.element_ty)
    mean = tl.sum(tl.sum(x, axis=1), axis=0) / (members * S)
    centred = tl.where(inside, x - mean, 0)
    rstd = 1 / tl.sqrt(tl.sum(tl.sum(centred * centred, axis=1), axis=0) / (members * S) + eps)
    scale = rstd * parameter(weight_ptr, channel, channel < end, 1, x)
    z = centred * scale + parameter(bias_ptr, channel, channel < end, 0, x)
    tl.store(y_ptr + first + offsets, silu(z) if SILU else z, mask=inside)
    tl.store(mean_ptr + tl.program_id(0), mean)
    tl.store(rstd_ptr + tl.program_id(0), rstd)


@jit
def partial_moments(
    x_ptr, part_mean_ptr, part_m2_ptr, C, S, members, T, stride_c, stride_s,
    SPLIT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """The mean and the sum of squares about it, of SPLIT pixels of each of BLOCK_C channels."""
    n, t = tl.program_id(0) // T, tl.program_id(0) % T
    first = sample(n, C, S)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mean = tl.zeros([BLOCK_C, BLOCK_S], part_mean_ptr.dtype.element_ty)  # every lane has its own
    m2, seen = mean, tl.zeros([1, BLOCK_S], mean.dtype)
    for start in range(t * SPLIT, tl.minimum((t + 1) * SPLIT, S), BLOCK_S):
        pixel = start + tl.arange(0, BLOCK_S)
        offsets, inside = tile(channel, C, pixel, S, stride_c, stride_s)
        x = tl.load(x_ptr + first + offsets, mask=inside, other=0).to(mean.dtype)
        mean, m2, seen = merge(mean, m2, seen, x, 0, (pixel < S)[None, :].to(mean.dtype))
    mean, m2 = merge_lanes(mean, m2, seen)
    parts = (n * C + channel) * T + t
    tl.store(part_mean_ptr + parts, mean, mask=channel < C)
    tl.store(part_m2_ptr + parts, m2, mask=channel < C)


@jit
def merge_moments(
    part_mean_ptr, part_m2_ptr, mean_ptr, rstd_ptr, eps, S, members, T, SPLIT: tl.constexpr, BLOCK: tl.constexpr
):
    """One program a group: all parts of its channels."""
    group = tl.program_id(0) + tl.arange(0, 1)
    mean = tl.zeros([1, BLOCK], mean_ptr.dtype.element_ty)
    m2, seen = mean, mean
    for start in range(0, members * T, BLOCK):
        part = start + tl.arange(0, BLOCK)[None, :]
        mine = part < members * T
        pixels = tl.where(mine, tl.minimum(SPLIT, S - part % T * SPLIT), 0)  # the last of the T parts may be short
        offsets = group[:, None] * (members * T) + part
        part_mean = tl.load(part_mean_ptr + offsets, mask=mine, other=0)
        part_m2 = tl.load(part_m2_ptr + offsets, mask=mine, other=0)
        mean, m2, seen = merge(mean, m2, seen, part_mean, part_m2, pixels.to(mean.dtype))
    mean, m2 = merge_lanes(mean, m2, seen)
    tl.store(mean_ptr + group, mean)
    tl.store(rstd_ptr + group, 1 / tl.sqrt(m2 / (members * S) + eps))


@jit
def normalize(
    x_ptr, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, y_ptr, C, S, members, T, stride_c, stride_s,
    SILU: tl.constexpr, SPLIT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """y, of SPLIT pixels of each of BLOCK_C channels, once the statistics are known."""
    n, t = tl.program_id(0) // T, tl.program_id(0) % T
    first = sample(n, C, S)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mean, scale, bias = per_channel(mean_ptr, rstd_ptr, weight_ptr, bias_ptr, n, channel, C, members)
    for start in range(t * SPLIT, tl.minimum((t + 1) * SPLIT, S), BLOCK_S):
        pixel = start + tl.arange(0, BLOCK_S)
        offsets, inside = tile(channel, C, pixel, S, stride_c, stride_s)
        z = (tl.load(x_ptr + first + offsets, mask=inside, other=0).to(mean.dtype) - mean) * scale + bias
        tl.store(y_ptr + first + offsets, silu(z) if SILU else z, mask=inside)


def forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    r"""x: `n c ...`, dense (see layout.py) -> y like x, and mean and rstd: `n g` in float32 (float64 for float64)."""
    at = Layout.of(x, groups)
    y, mean, rstd = at.outputs(x)
    with launching_on(x):
        if at.small:
            normalize_small[at.grid_of_groups](x, weight, bias, y, mean, rstd, eps, *at.sizes, silu, **at.group)
        else:
            part_mean, part_m2 = mean.new_empty(2, at.N * at.C * at.T)
            partial_moments[at.grid_of_parts](x, part_mean, part_m2, *at.sizes, **at.part)
            merge_moments[at.grid_of_groups](part_mean, part_m2, mean, rstd, eps, at.S, at.members, at.T, **at.moments)
            normalize[at.grid_of_parts](x, mean, rstd, weight, bias, y, *at.sizes, silu, **at.part)
    return y, mean, rstd
