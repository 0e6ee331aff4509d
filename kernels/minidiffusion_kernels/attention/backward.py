r"""Attention backwards, in Triton (Dao et al. 2022, algorithm 4; Dao 2023, section 3.1).

With P = softmax(S), S = Q K^T scale, and dO the gradient that arrives at O = P V:

    dV = P^T dO,    dP = dO V^T,    dS = P (dP - delta),    dQ = scale dS K,    dK = scale dS^T Q

delta_i = sum_j P_ij dP_ij = sum_d dO_id O_id is what the softmax takes off each row. P is not stored but computed once
more from what the forward pass has found, P = 2^(S log2(e) - peak) share. A row of dQ has one share: it waits until the
sum is complete.

dQ sums over keys, dK and dV sum over queries. So there are two kernels, each with the sum inside its loop; one program
writes each number, and there is nothing to add up atomically: the same bits every time. S is computed twice for that
(7 products of matrices instead of 5). `query_gradient` also leaves delta for `key_value_gradient`, which runs after it.
"""

import math

import triton
import triton.language as tl
from torch import Tensor

from minidiffusion_kernels import backend
from minidiffusion_kernels.attention.forward import (
    head,
    heads_last,
    launch_options,
    load,
    present,
    rows,
    strides,
    visible,
)
from minidiffusion_kernels.interpreter import jit


@jit
def over_keys(
    dq, q, do, peak, delta, k_ptr, v_ptr, stride_k, stride_v, first_query, start, stop, N, scale_log2, D: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, MASKED: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
    UNIT: tl.constexpr,
):  # fmt: skip
    """Add what the keys `start` to `stop` give to dq / share."""
    k_at = rows(k_ptr, start, stride_k, BLOCK_N, BLOCK_D, UNIT)
    v_at = rows(v_ptr, start, stride_v, BLOCK_N, BLOCK_D, UNIT)
    for n in tl.range(start, stop, BLOCK_N, num_stages=1 if MASKED else None):  # pyright: ignore
        k = load(k_at, n, N, D, MASKED)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION, out_dtype=dq.dtype)
        if MASKED:  # a score of 0 is not a weight of 0: 2^(0 - peak) may even overflow
            scores = visible(scores, first_query, n, N, CAUSAL)
        p = tl.exp2(scores * scale_log2 - peak[:, None])
        v = load(v_at, n, N, D, MASKED)
        dp = tl.dot(do, tl.trans(v), input_precision=PRECISION, out_dtype=dq.dtype)
        ds = p * (dp - delta[:, None])
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION, out_dtype=dq.dtype)
        k_at += BLOCK_N * (stride_k * UNIT)
        v_at += BLOCK_N * (stride_v * UNIT)
    return dq


@jit
def query_gradient(
    q_ptr, k_ptr, v_ptr, o_ptr, do_ptr, softmax_ptr, delta_ptr, dq_ptr, stride_qb, stride_qh, stride_q,
    stride_kb, stride_kh, stride_k, stride_vb, stride_vh, stride_v, stride_ob, stride_oh, stride_o,
    stride_dob, stride_doh, stride_do, stride_dqb, stride_dqh, stride_dq, H, M, N, scale, scale_log2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
    UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program: BLOCK_M queries of one head. Writes dq and delta."""
    tiles = tl.cdiv(M, BLOCK_M)
    bh, m = tl.program_id(0) // tiles, tl.program_id(0) % tiles * BLOCK_M
    b, h = bh // H, bh % H
    k_ptr = head(k_ptr, b, h, stride_kb, stride_kh, UNIT)
    v_ptr = head(v_ptr, b, h, stride_vb, stride_vh, UNIT)
    acc = softmax_ptr.dtype.element_ty
    query = m + tl.arange(0, BLOCK_M)
    o_at = rows(head(o_ptr, b, h, stride_ob, stride_oh, UNIT), m, stride_o, BLOCK_M, BLOCK_D, UNIT)
    o = load(o_at, m, M, D, True)
    do_at = rows(head(do_ptr, b, h, stride_dob, stride_doh, UNIT), m, stride_do, BLOCK_M, BLOCK_D, UNIT)
    do = load(do_at, m, M, D, True)
    delta = tl.sum(o.to(acc) * do.to(acc), axis=1)
    tl.store(delta_ptr + bh.to(tl.int64) * M + query, delta, mask=query < M)
    softmax_ptr += bh.to(tl.int64) * (2 * M)
    peak = tl.load(softmax_ptr + query, mask=query < M, other=0)
    share = tl.load(softmax_ptr + M + query, mask=query < M, other=0)
    q_at = rows(head(q_ptr, b, h, stride_qb, stride_qh, UNIT), m, stride_q, BLOCK_M, BLOCK_D, UNIT)
    q = load(q_at, m, M, D, True)
    if CAUSAL:
        whole, stop = m // BLOCK_N * BLOCK_N, tl.minimum(m + BLOCK_M, N)
    else:
        whole, stop = N // BLOCK_N * BLOCK_N, N
    dq = tl.zeros([BLOCK_M, BLOCK_D], acc)
    dq = over_keys(
        dq, q, do, peak, delta, k_ptr, v_ptr, stride_k, stride_v, m, 0, whole, N, scale_log2, D, BLOCK_N, BLOCK_D,
        False, CAUSAL, PRECISION, UNIT,
    )  # fmt: skip
    dq = over_keys(
        dq, q, do, peak, delta, k_ptr, v_ptr, stride_k, stride_v, m, whole, stop, N, scale_log2, D, BLOCK_N, BLOCK_D,
        True, CAUSAL, PRECISION, UNIT,
    )  # fmt: skip
    dq_at = rows(head(dq_ptr, b, h, stride_dqb, stride_dqh, UNIT), m, stride_dq, BLOCK_M, BLOCK_D, UNIT)
    tl.store(dq_at, dq * (scale * share)[:, None], mask=present(dq_at, m, M, D))


@jit
def over_queries(
    dk, dv, k, v, q_ptr, do_ptr, softmax_ptr, delta_ptr, stride_q, stride_do, first_key, start, stop, M, scale_log2,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr, MASKED: tl.constexpr, CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """Add what the queries `start` to `stop` give to dk and dv. Matrices are transposed: keys down, queries across."""
    q_at = rows(q_ptr, start, stride_q, BLOCK_M, BLOCK_D, UNIT)
    do_at = rows(do_ptr, start, stride_do, BLOCK_M, BLOCK_D, UNIT)
    for m in tl.range(start, stop, BLOCK_M, num_stages=1 if MASKED else None):  # pyright: ignore
        q = load(q_at, m, M, D, MASKED)
        do = load(do_at, m, M, D, MASKED)
        query = m + tl.arange(0, BLOCK_M)
        if MASKED:  # a share of 0 makes every weight of a query that is not there 0
            peak = tl.load(softmax_ptr + query, mask=query < M, other=0)
            share = tl.load(softmax_ptr + M + query, mask=query < M, other=0)
            delta = tl.load(delta_ptr + query, mask=query < M, other=0)
        else:
            peak, share = tl.load(softmax_ptr + query), tl.load(softmax_ptr + M + query)
            delta = tl.load(delta_ptr + query)
        scores = tl.dot(k, tl.trans(q), input_precision=PRECISION, out_dtype=dk.dtype)
        p = tl.exp2(scores * scale_log2 - peak[None, :]) * share[None, :]
        if CAUSAL:
            key = first_key + tl.arange(0, scores.shape[0])
            p = tl.where(key[:, None] <= query[None, :], p, 0)
        dv = tl.dot(p.to(do.dtype), do, dv, input_precision=PRECISION, out_dtype=dk.dtype)
        dp = tl.dot(v, tl.trans(do), input_precision=PRECISION, out_dtype=dk.dtype)
        ds = p * (dp - delta[None, :])
        dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION, out_dtype=dk.dtype)
        q_at += BLOCK_M * (stride_q * UNIT)
        do_at += BLOCK_M * (stride_do * UNIT)
    return dk, dv


@jit
def key_value_gradient(
    q_ptr, k_ptr, v_ptr, do_ptr, softmax_ptr, delta_ptr, dk_ptr, dv_ptr, stride_qb, stride_qh, stride_q,
    stride_kb, stride_kh, stride_k, stride_vb, stride_vh, stride_v, stride_dob, stride_doh, stride_do,
    stride_dkb, stride_dkh, stride_dk, stride_dvb, stride_dvh, stride_dv, H, M, N, scale, scale_log2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
    UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program: BLOCK_N keys of one head. Keys beyond the last see zeros and are not stored."""
    tiles = tl.cdiv(N, BLOCK_N)
    bh, n = tl.program_id(0) // tiles, tl.program_id(0) % tiles * BLOCK_N
    b, h = bh // H, bh % H
    q_ptr = head(q_ptr, b, h, stride_qb, stride_qh, UNIT)
    do_ptr = head(do_ptr, b, h, stride_dob, stride_doh, UNIT)
    softmax_ptr += bh.to(tl.int64) * (2 * M)
    delta_ptr += bh.to(tl.int64) * M
    k_at = rows(head(k_ptr, b, h, stride_kb, stride_kh, UNIT), n, stride_k, BLOCK_N, BLOCK_D, UNIT)
    k = load(k_at, n, N, D, True)
    v_at = rows(head(v_ptr, b, h, stride_vb, stride_vh, UNIT), n, stride_v, BLOCK_N, BLOCK_D, UNIT)
    v = load(v_at, n, N, D, True)
    acc = softmax_ptr.dtype.element_ty
    dk, dv = tl.zeros([BLOCK_N, BLOCK_D], acc), tl.zeros([BLOCK_N, BLOCK_D], acc)
    start, whole = 0, M // BLOCK_M * BLOCK_M
    if CAUSAL:  # queries before the first key see none of the tile; those on the diagonal some; those after it all
        start = tl.minimum(tl.cdiv(n + BLOCK_N, BLOCK_M) * BLOCK_M, M)
        dk, dv = over_queries(
            dk, dv, k, v, q_ptr, do_ptr, softmax_ptr, delta_ptr, stride_q, stride_do, n, n // BLOCK_M * BLOCK_M, start,
            M, scale_log2, D, BLOCK_M, BLOCK_D, True, True, PRECISION, UNIT,
        )  # fmt: skip
    dk, dv = over_queries(
        dk, dv, k, v, q_ptr, do_ptr, softmax_ptr, delta_ptr, stride_q, stride_do, n, start, whole, M, scale_log2,
        D, BLOCK_M, BLOCK_D, False, False, PRECISION, UNIT,
    )  # fmt: skip
    dk, dv = over_queries(
        dk, dv, k, v, q_ptr, do_ptr, softmax_ptr, delta_ptr, stride_q, stride_do, n, tl.maximum(start, whole), M, M,
        scale_log2, D, BLOCK_M, BLOCK_D, True, False, PRECISION, UNIT,
    )  # fmt: skip
    dk_at = rows(head(dk_ptr, b, h, stride_dkb, stride_dkh, UNIT), n, stride_dk, BLOCK_N, BLOCK_D, UNIT)
    dv_at = rows(head(dv_ptr, b, h, stride_dvb, stride_dvh, UNIT), n, stride_dv, BLOCK_N, BLOCK_D, UNIT)
    tl.store(dk_at, dk * scale, mask=present(dk_at, n, N, D))
    tl.store(dv_at, dv, mask=present(dv_at, n, N, D))


def backward(
    do: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor, softmax: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    r"""do, q, o: `b h m d`, k, v: `b h n d`, rows contiguous; softmax: `b h 2 m` -> dq, dk, dv like q, k, v."""
    (b, h, m, d), n = q.shape, k.shape[2]
    dq, dk, dv = (heads_last(b, h, length, d, like=q) for length in (m, n, n))
    delta, scales = softmax.new_empty(b, h, m), (scale, scale * math.log2(math.e))
    options = launch_options("query_gradient", causal, q, k, v, o, do, dq)
    steps = strides(q, k, v, o, do, dq, unit=options["UNIT"])
    with backend.launching_on(q):
        query_gradient[(b * h * triton.cdiv(m, options["BLOCK_M"]),)](
            q, k, v, o, do, softmax, delta, dq, *steps, h, m, n, *scales, **options
        )
        options = launch_options("key_value_gradient", causal, q, k, v, do, dk, dv)
        steps = strides(q, k, v, do, dk, dv, unit=options["UNIT"])
        key_value_gradient[(b * h * triton.cdiv(n, options["BLOCK_N"]),)](
            q, k, v, do, softmax, delta, dk, dv, *steps, h, m, n, *scales, **options
        )
    return dq, dk, dv
