r"""Bytes are counted exactly, and no access outside a tensor goes unnoticed or is carried out."""

import pytest
import torch

pytest.importorskip("triton")
if torch.cuda.is_available():
    pytest.skip("traffic is counted in the interpreter only", allow_module_level=True)

import numpy as np
import triton.language as tl

from minidiffusion_kernels.interpreter import jit
from minidiffusion_kernels.traffic import traffic


@jit
def double(x_ptr, y_ptr, n, stride, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + i, 2 * tl.load(x_ptr + i * stride, mask=i < n), mask=i < n)


@jit
def count_up(x_ptr):
    tl.atomic_add(x_ptr, 1.0)


def test_bytes_by_name_without_masked_lanes():
    x, y = torch.arange(10.0), torch.empty(10)
    with traffic() as moved:
        double[(3,)](x, y, 10, 1, 4)
        double[(3,)](x, y, 10, 1, 4)
    assert moved.loads == {"x": 80} and moved.stores == {"y": 80}
    assert moved.distinct == {"x": 40, "y": 40}
    assert not moved.strays and not moved.atomics and not moved.stream
    torch.testing.assert_close(y, 2 * x)


def test_an_access_between_the_elements_of_a_slice_is_out_of_bounds():
    x, y = torch.arange(20.0), torch.empty(10)
    with traffic() as right:
        double[(3,)](x[::2], y, 10, 2, 4)
    with traffic() as wrong:
        double[(3,)](x[::2], y, 10, 1, 4)
    assert right.loads == {"x": 40} and not right.strays
    assert sum(access.offsets.size for access in wrong.strays) == 5
    assert wrong.strays[0].offsets[0] == x.data_ptr() + 4


def test_a_stray_store_is_reported_and_not_carried_out():
    memory = torch.zeros(12)
    with traffic() as moved:
        double[(3,)](torch.ones(12), memory[:10], 12, 1, 4)
    assert [(stray.kind, stray.program) for stray in moved.strays] == [("store", (2, 0, 0))]
    assert memory.tolist() == [2.0] * 10 + [0.0] * 2


def test_the_stream_says_which_program_touched_what_and_when():
    x = torch.arange(24.0).view(4, 6).t()  # 6 x 4, with strides 1 and 6
    with traffic(stream=True) as moved:
        double[(2,)](x[:, 1], torch.empty(6), 6, 1, 4)
    first, _, last, _ = moved.stream
    assert (first.kernel, first.program, first.kind, first.tensor) == ("double", (0, 0, 0), "load", "x")
    assert last.program == (1, 0, 0) and np.array_equal(last.offsets, [4, 5])


def test_atomics_are_counted_and_afterwards_nothing_is():
    x = torch.zeros(1)
    with traffic() as moved:
        count_up[(3,)](x)
    count_up[(3,)](x)
    assert moved.atomics == 3 and x.item() == 6
