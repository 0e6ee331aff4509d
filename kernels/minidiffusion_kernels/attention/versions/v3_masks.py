r"""Version 3: masks. Any lengths and widths, so cross-attention with its 77 words; and `causal`.

**What changes.** A tile may reach over an edge. Lanes beyond it are not loaded (a mask) and count as 0, which adds
nothing to a product. But *a score of 0 is not a weight of 0*: it weighs exp(0 - peak), and where all real scores are
negative that is more than any of them. So scores without a key become -inf, and their weight exp(-inf) = 0. Never
-1e6 instead: that is not "never", only "little", and real scores may be lower.

No row of -inf alone can occur (it would be NaN): the first tile holds key 0, which every query may see.

`causal` hides the keys after the query; tiles in which it hides all are not even loaded.

**Bytes.** As version 2, with the number of tiles rounded up, and causal about half of K and V. One number a query is
added, L = peak + log(total): with it the backward pass finds any weight again, P = exp(S - L), without looking for the
peak and without having kept the matrix.

    2 m d + 2 n d ceil(m / BLOCK) + m    numbers a head (L is float32 always)
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from minidiffusion_kernels.interpreter import jit


@jit
def masked_kernel(
    q_ptr, k_ptr, v_ptr, o_ptr, L_ptr, M, N, scale, D: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr,
    CAUSAL: tl.constexpr,
):  # fmt: skip
    """One program: BLOCK queries of one head, and all the keys that one of them may see."""
    m, head = tl.program_id(0) * BLOCK, tl.program_id(1).to(tl.int64)
    row, column = tl.arange(0, BLOCK), tl.arange(0, WIDTH)[None, :]
    query = m + row
    here = (query < M)[:, None] & (column < D)
    at_q = (head * M + query[:, None]) * D + column
    q = tl.load(q_ptr + at_q, mask=here, other=0)
    peak = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    weighted = tl.zeros([BLOCK, WIDTH], tl.float32)
    stop = tl.minimum(m + BLOCK, N) if CAUSAL else N
    for n in range(0, stop, BLOCK):
        key = n + row
        there = (key < N)[:, None] & (column < D)
        at_k = (head * N + key[:, None]) * D + column
        k = tl.load(k_ptr + at_k, mask=there, other=0)
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        visible = key[None, :] < N
        if CAUSAL:
            visible = visible & (key[None, :] <= query[:, None])
        s = tl.where(visible, s, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(s, axis=1))
        p = tl.exp(s - new_peak[:, None])
        shrink = tl.exp(peak - new_peak)
        total = total * shrink + tl.sum(p, axis=1)
        v = tl.load(v_ptr + at_k, mask=there, other=0)
        weighted = tl.dot(p.to(v.dtype), v, weighted * shrink[:, None], input_precision="ieee")
        peak = new_peak
    tl.store(o_ptr + at_q, weighted / total[:, None], mask=here)
    tl.store(L_ptr + head * M + query, peak + tl.log(total), mask=query < M)


def forward(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, block: int = 32) -> tuple[Tensor, Tensor]:
    r"""q: `b h m d`, k and v: `b h n d`, contiguous -> o: `b h m d`, L: `b h m`."""
    (b, h, m, d), n = q.shape, k.shape[2]
    if causal and m != n:
        raise ValueError(f"causal attention of {m} queries over {n} keys; their numbers must be equal")
    o, L = torch.empty_like(q), q.new_empty(b, h, m, dtype=torch.float32)
    masked_kernel[(triton.cdiv(m, block), b * h)](
        q, k, v, o, L, m, n, 1 / math.sqrt(d), D=d, BLOCK=block, WIDTH=max(16, triton.next_power_of_2(d)),
        CAUSAL=causal, enable_fp_fusion=True,
    )  # fmt: skip
    return o, L


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, block: int = 32) -> Tensor:
    r"""q: `b h m d`, k and v: `b h n d`, contiguous -> `b h m d`. Raises ValueError for `causal` with m != n."""
    return forward(q, k, v, causal, block)[0]
