r"""Version 1: the same in Triton, as three kernels with the matrix between them.

**What changes.** A program computes a tile of S, or the softmax of a row, or a tile of O. The division rides along
with the product, and the softmax writes its row where it read it.

**Bytes.** The matrix passes through memory four times instead of six, and is made once instead of three times:

    4 m n + 2 m d + 2 n d    numbers a head, at least

The programs ask for more than that. A tile of S needs BLOCK rows of Q and of K, so each row of Q is asked for n /
BLOCK times and each row of K (and of V) m / BLOCK times. A cache may answer most of it.

    4 m n + m d (n / BLOCK + 1) + 2 n d m / BLOCK

**Limits.** Lengths are multiples of BLOCK, and d is a power of two: a tile is a tile.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from minidiffusion_kernels.interpreter import jit


@jit
def scores_kernel(q_ptr, k_ptr, s_ptr, M, N, scale, D: tl.constexpr, BLOCK: tl.constexpr):
    """One program: a tile of S, BLOCK queries by BLOCK keys of one head."""
    m, n, head = tl.program_id(0) * BLOCK, tl.program_id(1) * BLOCK, tl.program_id(2).to(tl.int64)
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, D)[None, :]
    q = tl.load(q_ptr + (head * M + m + row) * D + column)
    k = tl.load(k_ptr + (head * N + n + row) * D + column)
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    tl.store(s_ptr + (head * M + m + row) * N + n + tl.arange(0, BLOCK)[None, :], s)


@jit
def softmax_kernel(s_ptr, N, WIDTH: tl.constexpr):
    """One program: a row, in place. It is padded to a power of two; what is not there weighs exp(-inf) = 0."""
    column = tl.arange(0, WIDTH)
    where = s_ptr + tl.program_id(0).to(tl.int64) * N + column
    s = tl.load(where, mask=column < N, other=float("-inf")).to(tl.float32)
    p = tl.exp(s - tl.max(s, axis=0))
    tl.store(where, p / tl.sum(p, axis=0), mask=column < N)


@jit
def product_kernel(p_ptr, v_ptr, o_ptr, M, N, D: tl.constexpr, BLOCK: tl.constexpr):
    """One program: BLOCK rows of O, the sum over all tiles of P V."""
    m, head = tl.program_id(0) * BLOCK, tl.program_id(1).to(tl.int64)
    row, key, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK), tl.arange(0, D)[None, :]
    o = tl.zeros([BLOCK, D], tl.float32)
    for n in range(0, N, BLOCK):
        p = tl.load(p_ptr + (head * M + m + row) * N + n + key[None, :])
        v = tl.load(v_ptr + (head * N + n + key[:, None]) * D + column)
        o = tl.dot(p, v, o, input_precision="ieee")
    tl.store(o_ptr + (head * M + m + row) * D + column, o)


def attention(q: Tensor, k: Tensor, v: Tensor, block: int = 32) -> Tensor:
    r"""q: `b h m d`, k and v: `b h n d`, contiguous -> `b h m d`. Raises ValueError for tiles that are not whole."""
    refuse_ragged(q, k, block)
    (b, h, m, d), n = q.shape, k.shape[2]
    s, o = q.new_empty(b, h, m, n), torch.empty_like(q)
    scores_kernel[(m // block, n // block, b * h)](
        q, k, s, m, n, 1 / math.sqrt(d), D=d, BLOCK=block, enable_fp_fusion=True
    )
    softmax_kernel[(b * h * m,)](s, n, WIDTH=triton.next_power_of_2(n), enable_fp_fusion=True)
    product_kernel[(m // block, b * h)](s, v, o, m, n, D=d, BLOCK=block, enable_fp_fusion=True)
    return o


def refuse_ragged(q: Tensor, k: Tensor, block: int) -> None:
    (m, d), n = q.shape[2:], k.shape[2]
    for count, what in ((m, "queries"), (n, "keys")):
        if count == 0 or count % block:
            raise ValueError(
                f"{count} {what}: this version has no masks; there must be a multiple of {block} "
                "(v3_masks takes any length)"
            )
    if d < 16 or triton.next_power_of_2(d) != d:
        raise ValueError(f"heads are {d} wide; without masks, they must be powers of two from 16 (v3_masks takes any)")
