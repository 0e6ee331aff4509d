r"""How many bytes must an operation move, how many does our kernel ask for, and how many do PyTorch's operators?

Models, not measurements. `tests/kernels/test_bytes.py` compares those of our kernels with every access that the
interpreter counts (`minidiffusion_kernels.traffic`), and those of PyTorch with the operators that really run.

    least      every input read once, every output written once: no kernel can do with less, however good the cache
    asked      what the kernel's loads and stores ask for, tile by tile, as if nothing were cached
    operators  the same for a chain of PyTorch operators, each of which reads its arguments and writes its results

The truth lies between the first two: whatever is asked for again soon comes from the cache.
"""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from minidiffusion_kernels.operators import Operators

PASSES = ("forward", "backward", "both")
Passes = dict[str, int]  # a number for each pass


def passes(forward: int, backward: int) -> Passes:
    return dict(zip(PASSES, (forward, backward, forward + backward), strict=True))


# ------------------------------------------------------------------------------------------- attention
#
# b samples of h heads, m queries, n keys, width d, `size` bytes a number. Of each query our kernel keeps what its
# softmax divides by, as two numbers in float32, and in the backward pass delta, one.
KEPT, DELTA = 8, 4


def attention_flops(b: int, h: int, m: int, n: int, d: int) -> Passes:
    r"""Two products of matrices forward, five backward, 2 m n d each. Computing S once more, as fused kernels do (ours
    twice), is not counted, as is the custom: it is a way of working and not part of the task."""
    return passes(2 * 2 * b * h * m * n * d, 5 * 2 * b * h * m * n * d)


def attention_least(b: int, h: int, m: int, n: int, d: int, size: int) -> Passes:
    r"""q, k, v -> o and what is kept; then do, q, k, v, o and what was kept -> dq, dk, dv."""
    query, key, kept = m * d * size, n * d * size, m * KEPT
    return passes(b * h * (2 * query + 2 * key + kept), b * h * (4 * query + 4 * key + kept))


def attention_asked(b: int, h: int, m: int, n: int, d: int, size: int, tiles: dict[str, tuple[int, int]]) -> Passes:
    r"""Each tile of queries reads all keys and values, each tile of keys all that belongs to a query.

    tiles: kernel -> (queries, keys) in one tile, as in `minidiffusion_kernels.attention.configs`. Not causal.
    """

    def read_by(kernel: str, axis: int) -> int:
        return -(-(m, n)[axis] // tiles[kernel][axis])

    query, key, kept, delta = m * d * size, n * d * size, m * KEPT, m * DELTA
    forward = 2 * query + kept + read_by("forward", 0) * 2 * key
    dq = 4 * query + kept + delta + read_by("query_gradient", 0) * 2 * key  # reads q, o, do; writes dq, delta
    dk_dv = 4 * key + read_by("key_value_gradient", 1) * (2 * query + kept + delta)  # k, v -> dk, dv; q, do
    return passes(b * h * forward, b * h * (dq + dk_dv))


# ------------------------------------------------------------------------------------------- group_norm
#
# A picture x of N bytes; weights and statistics, a number a channel or a group, weigh less than 1 % and are left out.


def group_norm_least(shape: tuple[int, ...], size: int) -> Passes:
    r"""x -> y; then dy, x -> dx."""
    return passes(2 * prod(shape) * size, 3 * prod(shape) * size)


def group_norm_asked(shape: tuple[int, ...], size: int, small: bool) -> Passes:
    r"""A group that fits into registers is read once (2N, 3N); of others, what is normalised is read twice (3N, 5N)."""
    least, again = group_norm_least(shape, size), prod(shape) * size
    return least if small else passes(least["forward"] + again, least["backward"] + 2 * again)


# ------------------------------------------------------------------------------------------- PyTorch


def operators(f: Callable[..., Tensor], *inputs: Tensor) -> Passes:
    r"""The bytes of the operators that f and its backward pass run. Works on tensors without memory (device "meta")."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    with Operators() as forward:
        y = f(*leaves)
    dy = torch.empty_like(y)
    with Operators() as backward:
        torch.autograd.grad(y, leaves, dy)
    return passes(sum(forward.bytes), sum(backward.bytes))
