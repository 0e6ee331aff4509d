r"""Version 2: one kernel that goes over the keys once, and no matrix (Milakov & Gimelshein 2018; Dao et al. 2022).

    o_i = sum_j exp(s_ij - peak_i) v_j / total_i,    total_i = sum_j exp(s_ij - peak_i)

**What changes.** A program keeps its BLOCK queries and walks along the keys. For each query it remembers three
things: the largest score so far (peak), the sum of the weights (total) and the weighted sum of values, both relative
to that peak. A tile with a larger score lets both sums shrink by exp(old peak - new peak). Dividing waits until the
end.

**Bytes.** All four passes of the matrix are gone: 2 m d + 2 n d numbers a head, at least. Every program asks for all
of K and V, so a larger BLOCK is a second way to move less, as each key, once loaded, meets BLOCK queries:

    2 m d + 2 n d m / BLOCK

**Memory.** Nothing but O. The scores of one tile, BLOCK x BLOCK, are all that ever exists of the matrix, and they
stay in registers, in float32. Version 1 rounds every score to half precision to store it; without that, the error of
the result is half as large.

**Limits.** As in version 1.
"""

import math

import torch
import triton.language as tl
from torch import Tensor

from minidiffusion_kernels.attention.versions.v1_softmax import refuse_ragged
from minidiffusion_kernels.interpreter import jit


@jit
def online_kernel(q_ptr, k_ptr, v_ptr, o_ptr, M, N, scale, D: tl.constexpr, BLOCK: tl.constexpr):
    """One program: BLOCK queries of one head, and all its keys."""
    m, head = tl.program_id(0) * BLOCK, tl.program_id(1).to(tl.int64)
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, D)[None, :]
    q = tl.load(q_ptr + (head * M + m + row) * D + column)
    peak = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    weighted = tl.zeros([BLOCK, D], tl.float32)
    for n in range(0, N, BLOCK):
        k = tl.load(k_ptr + (head * N + n + row) * D + column)
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        new_peak = tl.maximum(peak, tl.max(s, axis=1))
        p = tl.exp(s - new_peak[:, None])
        shrink = tl.exp(peak - new_peak)  # 0 at the first tile: nothing has been summed yet
        total = total * shrink + tl.sum(p, axis=1)
        v = tl.load(v_ptr + (head * N + n + row) * D + column)
        weighted = tl.dot(p.to(v.dtype), v, weighted * shrink[:, None], input_precision="ieee")
        peak = new_peak
    tl.store(o_ptr + (head * M + m + row) * D + column, weighted / total[:, None])


def attention(q: Tensor, k: Tensor, v: Tensor, block: int = 32) -> Tensor:
    r"""q: `b h m d`, k and v: `b h n d`, contiguous -> `b h m d`. Raises ValueError for tiles that are not whole."""
    refuse_ragged(q, k, block)
    (b, h, m, d), n = q.shape, k.shape[2]
    o = torch.empty_like(q)
    online_kernel[(m // block, b * h)](q, k, v, o, m, n, 1 / math.sqrt(d), D=d, BLOCK=block, enable_fp_fusion=True)
    return o
