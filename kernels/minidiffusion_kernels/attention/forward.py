r"""Attention forwards, in Triton, without the m x n matrix of weights (Dao et al. 2022, algorithm 1).

    o_i = sum_j exp(s_ij - peak_i) v_j / total_i,    total_i = sum_j exp(s_ij - peak_i),    s = Q K^T scale

One program has BLOCK_M queries and walks along the keys, BLOCK_N at a time. It keeps, for each query, the largest score
so far (peak, the paper's m), the sum of the weights (total, its l) and the weighted sum of values; when a tile brings a
larger score, both sums shrink by exp(old peak - new peak) (Milakov & Gimelshein 2018). The scores of a tile are all
that ever exists of the matrix.

Exponentials are powers of two, the one that the hardware has: exp(s - peak) = 2^(s log2(e) - peak), with log2(e) folded
into the scale and the peak. What is saved for the backward pass is the denominator of each query's softmax,
2^peak total, as its peak and its share = 1 / total. Its logarithm peak + log2(total), the log-sum-exp, would be one
number instead of two, but rounding it is an error of all weights of the query together, which no sum over keys averages
out.

Nearly all tiles are whole and wholly visible; they run without any mask. The ragged end, and with `causal` the
diagonal, are a second loop over the same code.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from minidiffusion_kernels import backend
from minidiffusion_kernels.attention.configs import config, precision
from minidiffusion_kernels.interpreter import jit


@jit
def head(ptr, b, h, stride_b, stride_h, UNIT: tl.constexpr):
    """Where a head of a sample begins; in 64 bits, for large batches."""
    return ptr + (b.to(tl.int64) * stride_b + h.to(tl.int64) * stride_h) * UNIT


@jit
def rows(ptr, start, stride, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, UNIT: tl.constexpr):
    """The addresses of BLOCK rows from `start` on. Loops step from tile to tile by adding to them."""
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK_D)[None, :]
    return ptr + tl.cast(start, tl.int64) * stride * UNIT + (row * (stride * UNIT) + column)


@jit
def present(where, start, count, D: tl.constexpr):
    """Of a tile of addresses, those before row `count`. Widths that are no power of two are padded to one."""
    row, column = start + tl.arange(0, where.shape[0]), tl.arange(0, where.shape[1])
    return (row < count)[:, None] & (column < D)[None, :]


@jit
def load(where, start, count, D: tl.constexpr, MASKED: tl.constexpr):
    """What is not there is 0, and adds nothing to any product."""
    if MASKED:
        return tl.load(where, mask=present(where, start, count, D), other=0)
    elif where.shape[1] > D:
        return tl.load(where, mask=(tl.arange(0, where.shape[1]) < D)[None, :], other=0)
    else:
        return tl.load(where)


@jit
def visible(scores, first_query, first_key, N, CAUSAL: tl.constexpr):
    """The scores with -inf where there is no key, and with `causal` where the key comes after the query."""
    key = first_key + tl.arange(0, scores.shape[1])[None, :]
    allowed = key < N
    if CAUSAL:
        allowed = allowed & (key <= first_query + tl.arange(0, scores.shape[0])[:, None])
    return tl.where(allowed, scores, float("-inf"))


@jit
def attend(
    weighted, total, peak, q, k_ptr, v_ptr, stride_k, stride_v, first_query, start, stop, N, scale, D: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, MASKED: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
    UNIT: tl.constexpr,
):  # fmt: skip
    """Let the queries look at the keys `start` to `stop`."""
    k_at = rows(k_ptr, start, stride_k, BLOCK_N, BLOCK_D, UNIT)
    v_at = rows(v_ptr, start, stride_v, BLOCK_N, BLOCK_D, UNIT)
    for n in tl.range(start, stop, BLOCK_N, num_stages=1 if MASKED else None):  # pyright: ignore
        k = load(k_at, n, N, D, MASKED)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION, out_dtype=total.dtype)
        if MASKED:
            scores = visible(scores, first_query, n, N, CAUSAL)
        # Finite from the first tile on: it holds a key that every query may see (key 0, or the start of the diagonal).
        new_peak = tl.maximum(peak, tl.max(scores, axis=1) * scale)
        p = tl.exp2(scores * scale - new_peak[:, None])
        shrink = tl.exp2(peak - new_peak)
        total = total * shrink + tl.sum(p, axis=1)
        v = load(v_at, n, N, D, MASKED)
        weighted = weighted * shrink[:, None]
        weighted = tl.dot(p.to(v.dtype), v, weighted, input_precision=PRECISION, out_dtype=total.dtype)
        peak = new_peak
        k_at += BLOCK_N * (stride_k * UNIT)
        v_at += BLOCK_N * (stride_v * UNIT)
    return weighted, total, peak


@jit
def forward_kernel(
    q_ptr, k_ptr, v_ptr, o_ptr, softmax_ptr, stride_qb, stride_qh, stride_q, stride_kb, stride_kh, stride_k,
    stride_vb, stride_vh, stride_v, stride_ob, stride_oh, stride_o, H, M, N, scale, D: tl.constexpr,
    BLOCK_D: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
    UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program: BLOCK_M queries of one head."""
    tiles = tl.cdiv(M, BLOCK_M)
    bh, m = tl.program_id(0) // tiles, tl.program_id(0) % tiles * BLOCK_M
    b, h = bh // H, bh % H
    k_ptr = head(k_ptr, b, h, stride_kb, stride_kh, UNIT)
    v_ptr = head(v_ptr, b, h, stride_vb, stride_vh, UNIT)
    q_at = rows(head(q_ptr, b, h, stride_qb, stride_qh, UNIT), m, stride_q, BLOCK_M, BLOCK_D, UNIT)
    q = load(q_at, m, M, D, True)
    acc = softmax_ptr.dtype.element_ty
    weighted = tl.zeros([BLOCK_M, BLOCK_D], acc)
    total, peak = tl.zeros([BLOCK_M], acc), tl.full([BLOCK_M], float("-inf"), acc)
    if CAUSAL:  # keys before the first query are visible to all of the tile, keys after the last to none
        whole, stop = m // BLOCK_N * BLOCK_N, tl.minimum(m + BLOCK_M, N)
    else:
        whole, stop = N // BLOCK_N * BLOCK_N, N
    weighted, total, peak = attend(
        weighted, total, peak, q, k_ptr, v_ptr, stride_k, stride_v, m, 0, whole, N, scale, D, BLOCK_N, BLOCK_D,
        False, CAUSAL, PRECISION, UNIT,
    )  # fmt: skip
    weighted, total, peak = attend(
        weighted, total, peak, q, k_ptr, v_ptr, stride_k, stride_v, m, whole, stop, N, scale, D, BLOCK_N, BLOCK_D,
        True, CAUSAL, PRECISION, UNIT,
    )  # fmt: skip
    o_at = rows(head(o_ptr, b, h, stride_ob, stride_oh, UNIT), m, stride_o, BLOCK_M, BLOCK_D, UNIT)
    tl.store(o_at, weighted / total[:, None], mask=present(o_at, m, M, D))
    query = m + tl.arange(0, BLOCK_M)
    softmax_ptr += bh.to(tl.int64) * (2 * M)
    tl.store(softmax_ptr + query, peak, mask=query < M)
    tl.store(softmax_ptr + M + query, 1 / total, mask=query < M)


def heads_last(b: int, h: int, m: int, d: int, like: Tensor) -> Tensor:
    """An empty `b h m d` that is `b m h d` in memory: joining the heads afterwards costs nothing."""
    return like.new_empty(b, m, h, d).transpose(1, 2)


def launch_options(kernel: str, causal: bool, q: Tensor, *others: Tensor) -> dict:
    r"""What the three kernels are launched with, besides tensors, strides and lengths.

    Strides are handed over in UNITs, the largest power of two that divides all (up to 16): so the compiler knows that
    rows begin at multiples of UNIT numbers, and loads 8 halves with one instruction, in heads of 40 as in those of 64.
    """
    d = q.shape[-1]
    capability = None if q.device.type == "cpu" else backend.capability(q.device)
    return {
        "D": d,
        "BLOCK_D": max(16, triton.next_power_of_2(d)),
        "CAUSAL": causal,
        "PRECISION": precision(q.dtype),
        "UNIT": math.gcd(16, *strides(q, *others)),
        **config(kernel, capability, d, q.dtype),
        "enable_fp_fusion": True,  # a * b + c in one instruction: said, because the default is about to change
    }


def strides(*tensors: Tensor, unit: int = 1) -> list[int]:
    """Of samples, heads and rows; that of a single one does not matter."""
    return [step // unit if n > 1 else 0 for x in tensors for n, step in zip(x.shape[:3], x.stride(), strict=False)]


def forward(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    r"""q: `b h m d`, k and v: `b h n d`, rows contiguous -> o: `b h m d`, and what is kept of the softmax, peak and
    share, `b h 2 m` in float32 (or float64)."""
    (b, h, m, d), n = q.shape, k.shape[2]
    o = heads_last(b, h, m, d, like=q)
    softmax = q.new_empty(b, h, 2, m, dtype=torch.promote_types(q.dtype, torch.float32))
    options = launch_options("forward", causal, q, k, v, o)
    steps = strides(q, k, v, o, unit=options["UNIT"])
    with backend.launching_on(q):
        forward_kernel[(b * h * triton.cdiv(m, options["BLOCK_M"]),)](
            q, k, v, o, softmax, *steps, h, m, n, scale * math.log2(math.e), **options
        )
    return o, softmax
