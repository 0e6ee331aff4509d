r"""GroupNorm (+ SiLU) forwards, in Triton.

    mean_g = sum x / n,   rstd_g = 1 / sqrt(sum (x - mean_g)^2 / n + eps),   n = C/G * S     (Wu & He 2018, eq. 1-3)
    z = (x - mean_g) rstd_g weight_c + bias_c,   y = z or z sigmoid(z)

Every kernel sees x as (N, C, S), S the pixels of one channel, in tiles of BLOCK_C channels x BLOCK_S pixels. In NCHW
pixels are neighbours in memory, in channels_last channels are; only the strides and the shape of the tile differ.

A small group fits into the registers of one program: x is read once and y written once (2N bytes). A large one needs
two passes, with the sums of many programs between them (3N bytes): `partial_moments`, `merge_moments`, `normalize`.

The sum of squares is never taken as E[x^2] - E[x]^2, which cancels (a mean of 1000 standard deviations costs it six of
the seven digits of float32). A tile subtracts its own mean first, and tiles are merged by Chan, Golub & LeVeque (1983),
eq. 2.1:

    M = M_a + M_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b),    M = sum (x - mean)^2
"""

import triton
import triton.language as tl
from torch import Tensor

from ..backend import launching_on
from ..interpreter import jit
from .layout import Layout


@jit
def tile(n, channel, end, pixel, C, S, stride_c, stride_s):
    """Where these pixels of these channels of sample n are, and which of them are before channel `end` and pixel S."""
    start = n.to(tl.int64) * C * S  # one sample fits 31 bits, a batch may not
    offsets = start + channel[:, None] * stride_c + pixel[None, :] * stride_s
    return offsets, (channel < end)[:, None] & (pixel < S)[None, :]


@jit
def per_group(a_ptr, b_ptr, n, channel, C, G):
    """Two numbers of the group of each channel, as columns."""
    group = n * G + channel // (C // G)
    a, b = tl.load(a_ptr + group, mask=channel < C, other=0), tl.load(b_ptr + group, mask=channel < C, other=0)
    return a[:, None], b[:, None]


@jit
def affine(xhat, weight_ptr, bias_ptr, channel, inside):
    """xhat * weight + bias, each optional, one number a channel."""
    if weight_ptr is not None:
        xhat *= tl.load(weight_ptr + channel, mask=inside, other=0).to(xhat.dtype)[:, None]
    if bias_ptr is not None:
        xhat += tl.load(bias_ptr + channel, mask=inside, other=0).to(xhat.dtype)[:, None]
    return xhat


@jit
def silu(z):
    return z / (1 + tl.exp(-z))


@jit
def normalize_small(
    x_ptr, weight_ptr, bias_ptr, y_ptr, mean_ptr, rstd_ptr, eps, C, S, G, stride_c, stride_s,
    SILU: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """One program a group, which stays in registers between the statistics and their use."""
    n, g = tl.program_id(0) // G, tl.program_id(0) % G
    channel, pixel = g * (C // G) + tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_S)
    end = (g + 1) * (C // G)  # of the group, not of all channels: what comes then is the next group's
    offsets, inside = tile(n, channel, end, pixel, C, S, stride_c, stride_s)
    count = C // G * S
    x = tl.load(x_ptr + offsets, mask=inside, other=0).to(mean_ptr.dtype.element_ty)
    mean = tl.sum(tl.sum(x, axis=1), axis=0) / count
    centred = tl.where(inside, x - mean, 0)
    rstd = 1 / tl.sqrt(tl.sum(tl.sum(centred * centred, axis=1), axis=0) / count + eps)
    z = affine(centred * rstd, weight_ptr, bias_ptr, channel, channel < end)
    tl.store(y_ptr + offsets, silu(z) if SILU else z, mask=inside)
    tl.store(mean_ptr + tl.program_id(0), mean)
    tl.store(rstd_ptr + tl.program_id(0), rstd)


@jit
def partial_moments(
    x_ptr, part_mean_ptr, part_m2_ptr, C, S, T, stride_c, stride_s,
    SPLIT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """The mean and the sum of squares about it, of SPLIT pixels of each of BLOCK_C channels, tile by tile."""
    n, t = tl.program_id(0) // T, tl.program_id(0) % T
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mean = tl.zeros([BLOCK_C], part_mean_ptr.dtype.element_ty)
    m2 = tl.zeros([BLOCK_C], part_mean_ptr.dtype.element_ty)
    for start in range(t * SPLIT, tl.minimum((t + 1) * SPLIT, S), BLOCK_S):
        pixel = start + tl.arange(0, BLOCK_S)
        offsets, inside = tile(n, channel, C, pixel, C, S, stride_c, stride_s)
        x = tl.load(x_ptr + offsets, mask=inside, other=0).to(mean.dtype)
        before, fresh = start - t * SPLIT, tl.minimum(BLOCK_S, S - start)  # pixels merged already, pixels of this tile
        fresh_mean = tl.sum(x, axis=1) / fresh
        centred = tl.where(inside, x - fresh_mean[:, None], 0)
        delta = fresh_mean - mean
        m2 += tl.sum(centred * centred, axis=1) + delta * delta * before * fresh / (before + fresh)
        mean += delta * fresh / (before + fresh)
    parts = (n * C + channel) * T + t
    tl.store(part_mean_ptr + parts, mean, mask=channel < C)
    tl.store(part_m2_ptr + parts, m2, mask=channel < C)


@jit
def merge_moments(
    part_mean_ptr, part_m2_ptr, mean_ptr, rstd_ptr, eps, S, T, members, SPLIT: tl.constexpr, BLOCK: tl.constexpr
):
    """All parts of a group at once: Chan's formula for many, M = sum M_i + n_i (mean_i - mean)^2."""
    part = tl.arange(0, BLOCK)
    mine = part < members * T
    pixels = tl.where(mine, tl.minimum(SPLIT, S - part % T * SPLIT), 0)  # the last of the T parts may be short
    offsets = tl.program_id(0) * members * T + part
    part_mean = tl.load(part_mean_ptr + offsets, mask=mine, other=0)
    mean = tl.sum(part_mean * pixels, axis=0) / (members * S)
    delta = part_mean - mean
    m2 = tl.sum(tl.load(part_m2_ptr + offsets, mask=mine, other=0) + delta * delta * pixels, axis=0)
    tl.store(mean_ptr + tl.program_id(0), mean)
    tl.store(rstd_ptr + tl.program_id(0), 1 / tl.sqrt(m2 / (members * S) + eps))


@jit
def normalize(
    x_ptr, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, y_ptr, C, S, G, stride_c, stride_s,
    SILU: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """With the statistics known, every tile is on its own."""
    n, s = tl.program_id(0) // tl.cdiv(S, BLOCK_S), tl.program_id(0) % tl.cdiv(S, BLOCK_S)
    pixel = s * BLOCK_S + tl.arange(0, BLOCK_S)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    offsets, inside = tile(n, channel, C, pixel, C, S, stride_c, stride_s)
    mean, rstd = per_group(mean_ptr, rstd_ptr, n, channel, C, G)
    x = tl.load(x_ptr + offsets, mask=inside, other=0).to(mean.dtype)
    z = affine((x - mean) * rstd, weight_ptr, bias_ptr, channel, channel < C)
    tl.store(y_ptr + offsets, silu(z) if SILU else z, mask=inside)


def forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    r"""x: `n c ...`, dense (see layout.py) -> y like x, and mean and rstd: `n g` in float32 (float64 for float64)."""
    at = Layout.of(x, groups)
    y, mean, rstd = at.outputs(x)
    common = (at.C, at.S, at.G, at.stride_c, at.stride_s, silu)
    with launching_on(x):
        if at.small:
            normalize_small[(at.N * at.G,)](
                x, weight, bias, y, mean, rstd, eps, *common, **at.group_tile, enable_fp_fusion=True
            )
            return y, mean, rstd
        part_mean, part_m2 = mean.new_empty(2, at.N * at.C * at.T)
        partial_moments[at.split_grid](
            x,
            part_mean,
            part_m2,
            at.C,
            at.S,
            at.T,
            at.stride_c,
            at.stride_s,
            at.SPLIT,
            **at.tile,
            enable_fp_fusion=True,
        )
        block = triton.next_power_of_2(at.members * at.T)
        merge_moments[(at.N * at.G,)](
            part_mean, part_m2, mean, rstd, eps, at.S, at.T, at.members, at.SPLIT, block, enable_fp_fusion=True
        )
        normalize[at.tile_grid](x, mean, rstd, weight, bias, y, *common, **at.tile, enable_fp_fusion=True)
    return y, mean, rstd
