r"""Fused GroupNorm (+ SiLU): right to rounding, in bounds, repeatable, and as frugal as its model says."""

import itertools
import math
import os
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("triton")

from minidiffusion_kernels import backend
from minidiffusion_kernels.group_norm import group_norm, op
from minidiffusion_kernels.group_norm.backward import backward
from minidiffusion_kernels.group_norm.forward import forward, normalize
from minidiffusion_kernels.group_norm.layout import Layout, is_channels_last
from minidiffusion_kernels.operators import Operators
from tests.kernels.measures import error, guarded, hold_to

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
interpreted = pytest.mark.skipif(DEVICE == "cuda", reason="counted in the interpreter only")
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")  # exp(-z) = inf: SiLU is 0

PIXELS = {1: [(1,), (1, 1), (1, 1, 1)], 63: [(63,), (7, 9), (7, 3, 3)], 256: [(256,), (16, 16), (4, 8, 8)],
          1025: [(1025,), (25, 41), (5, 5, 41)]}  # fmt: skip


def case(members, pixels, dtype):
    """The rest of a case, drawn once and for all."""
    draw = random.Random(f"{members} {pixels} {dtype}")
    groups = draw.choice([2, 3]) if pixels < 1025 else 2
    n = 2 if members * pixels == 1 else 1 if pixels == 1025 else draw.choice([1, 2])  # PyTorch refuses 1 x 1 x 1
    shape = (n, groups * members, *draw.choice(PIXELS[pixels]))
    return shape, groups, dtype, *(draw.random() < 0.5 for _ in range(3))


MATRIX = [
    case(*which) for which in itertools.product([1, 3, 10, 32], PIXELS, [torch.float32, torch.float16, torch.bfloat16])
]


def name(case):
    shape, groups, dtype, silu, affine, last = case
    words = ["x".join(map(str, shape)), f"g{groups}", str(dtype)[6:], silu * "silu", affine * "affine", last * "last"]
    return "-".join(filter(None, words))


def inputs(shape, dtype, affine=True, last=False, shift=0.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, dy = (torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2))
    weight, bias = (torch.randn(shape[1], generator=g, dtype=torch.float64) for _ in range(2))
    x, dy, weight, bias = ((t + s).to(DEVICE, dtype) for t, s in ((x, shift), (dy, 0), (weight, 0), (bias, 0)))
    if last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x, dy, weight if affine else None, bias if affine else None


def run(x, dy, weight, bias, groups, silu, backend, dtype=None, eps=1e-5):
    leaves = {"x": x, "weight": weight, "bias": bias}
    leaves = {k: t.detach().to(dtype or t.dtype).requires_grad_() for k, t in leaves.items() if t is not None}
    y = group_norm(leaves["x"], groups, leaves.get("weight"), leaves.get("bias"), eps, silu=silu, backend=backend)
    y.backward(dy.to(y.dtype))
    return {"y": y.detach(), **{f"d{k}": t.grad for k, t in leaves.items()}}


def all_three(case, **more):
    shape, groups, dtype, silu, affine, last = case
    given = inputs(shape, dtype, affine, last, **more)
    exact = run(*given, groups, silu, "reference", torch.float64)
    return run(*given, groups, silu, "triton"), run(*given, groups, silu, "torch"), exact


@pytest.mark.parametrize("case", MATRIX, ids=name)
def test_as_near_to_float64_as_pytorch(case):
    if DEVICE == "cpu":
        from minidiffusion_kernels.traffic import traffic

        with traffic() as moved:
            ours, eager, exact = all_three(case)
        assert moved.strays == [] and moved.atomics == 0
    else:
        ours, eager, exact = all_three(case)
    hold_to(ours, eager, exact, case[2])
    assert (
        is_channels_last(ours["y"])
        == is_channels_last(ours["dx"])
        == is_channels_last(inputs(case[0], case[2], last=case[-1])[0])
    )


@pytest.mark.parametrize("shift", [100, 1000])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("shape", [(1, 20, 8, 8), (2, 20, 33, 65)], ids=["small", "large"])
def test_a_large_mean_costs_no_more_than_its_own_rounding(shape, last, shift):
    r"""The mean is a float32, off by up to shift * 2^-24, and every pixel with it: the bound is 4 of that."""
    ours, eager, exact = all_three((shape, 2, torch.float32, True, True, last), shift=shift)
    for what in ours:
        print(f"{what:8} ours {error(ours[what], exact[what]):.1e}  PyTorch {error(eager[what], exact[what]):.1e}")
        assert error(ours[what], exact[what]) <= 4 * shift * 2**-24


def test_a_group_of_many_parts():
    r"""1030 channels make 1030 partial means and sums of squares: more than are merged at a time."""
    case = (1, 1030, 5, 5), 1, torch.float32, True, True, True
    ours, eager, exact = all_three(case, shift=3)
    hold_to(ours, eager, exact, torch.float32)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("shape", [(1, 4, 3), (2, 6, 3, 2), (1, 4, 4097)], ids=str)
def test_gradients_are_derivatives(shape, silu):
    x, _, weight, bias = inputs(shape, torch.float64, last=len(shape) == 4)
    for leaves in ([x, weight, bias], [x])[: 2 if shape[-1] == 3 else 1]:
        leaves = [t.requires_grad_() for t in leaves]
        f = lambda x, w=None, b=None: group_norm(x, 2, w, b, silu=silu, backend="triton")  # noqa: E731
        torch.autograd.gradcheck(f, leaves, fast_mode=len(shape) == 4 or shape[-1] > 3)  # fast: along one direction


def test_both_paths_are_tested():
    small = [Layout.of(torch.empty(shape), groups).small for shape, groups, *_ in MATRIX]
    parts = [
        Layout.of(inputs(c[0], c[2], last=c[-1])[0], c[1]).T
        for c in MATRIX
        if not Layout.of(torch.empty(c[0]), c[1]).small
    ]
    assert 6 <= sum(small) <= len(small) - 6 and max(parts) > 1


@pytest.mark.parametrize("silu", [False, True])
def test_the_operators_are_registered_as_they_behave(silu):
    x, dy, weight, bias = inputs((2, 6, 3, 2), torch.float32, last=True)
    x.requires_grad_()
    torch.library.opcheck(op.fused_group_norm, (x, weight.requires_grad_(), bias, 2, 1e-5, silu))
    torch.library.opcheck(op.fused_group_norm, (x, None, None, 3, 1e-5, silu))
    x, weight = x.detach(), weight.detach()
    _, mean, rstd = forward(x, weight, bias, 2, 1e-5, silu)
    dy = torch.empty_like(x).copy_(dy)
    torch.library.opcheck(op.fused_group_norm_backward, (dy, x, weight, bias, mean, rstd, 2, silu))


def test_compiled_by_torch_in_one_graph():
    x, dy, weight, bias = inputs((2, 6, 4, 5), torch.float32)
    f = lambda x: group_norm(x, 2, weight, bias, silu=True, backend="triton")  # noqa: E731
    compiled = torch.compile(f, backend="aot_eager", fullgraph=True)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    f(a).backward(dy)
    compiled(b).backward(dy)
    torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("shape", [(2, 20, 7, 9), (1, 20, 25, 41)], ids=["small", "large"])
def test_the_same_bits_every_time(shape, last):
    given = inputs(shape, torch.float16, last=last)
    first, second = (run(*given, 2, True, "triton") for _ in range(2))
    for what in first:
        assert torch.equal(first[what], second[what]), what


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("shape", [(2, 20, 7, 9), (1, 30, 25, 41)], ids=["small", "large"])
def test_what_lies_around_the_outputs_stays_untouched(shape, last, monkeypatch):
    x, dy, weight, bias = inputs(shape, torch.float32, last=last)
    dy = torch.empty_like(x).copy_(dy)
    with guarded(monkeypatch):
        _, mean, rstd = forward(x, weight, bias, shape[1] // 10, 1e-5, True)
        backward(dy, x, weight, bias, mean, rstd, shape[1] // 10, True)


@interpreted
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize(
    "shape, there, back", [((2, 20, 16, 16), 2, 3), ((1, 20, 64, 64), 3, 5)], ids=["small", "large"]
)
def test_bytes_moved_are_those_of_the_model(shape, there, back, last):
    r"""A small group: x once, y once; dy, x, dx once. A large one: x twice, y once; dy and x twice, dx once."""
    from minidiffusion_kernels.traffic import traffic

    x, dy, weight, bias = inputs(shape, torch.float16, last=last)
    dy = torch.empty_like(x).copy_(dy)
    size = x.numel() * x.element_size()
    with traffic() as forwards:
        _, mean, rstd = forward(x, weight, bias, 2, 1e-5, True)
    with traffic() as backwards:
        backward(dy, x, weight, bias, mean, rstd, 2, True)
    assert forwards.loads["x"] + forwards.stores["y"] == there * size
    assert backwards.loads["x"] + backwards.loads["dy"] + backwards.stores["dx"] == back * size
    assert forwards.distinct["x"] == forwards.distinct["y"] == backwards.distinct["dx"] == size
    for moved, times in ((forwards, there), (backwards, back)):  # statistics and parameters are small change
        assert (moved.loads + moved.stores).total() == pytest.approx(times * size, rel=0.01)


@interpreted
def test_large_batches_are_found_with_64_bits():
    r"""Sample 3, and 2^30 numbers from each to the next. There is no such memory, so the access goes astray: where?"""
    from minidiffusion_kernels.traffic import traffic

    x, statistics, side = torch.zeros(1, 1, 32), torch.zeros(4, 1), 2**15
    with traffic() as moved:
        normalize[(4, 1)](
            x, statistics, statistics, None, None, x, side, side, side, 1, side, 1, SILU=False, SPLIT=32, BLOCK_C=1,
            BLOCK_S=32,
        )  # fmt: skip
    last = {(stray.kind, stray.offsets.min()) for stray in moved.strays if stray.program == (3, 0, 0)}
    assert last == {(kind, x.data_ptr() + 3 * side**2 * 4) for kind in ("load", "store")}


def test_only_x_and_what_is_small_is_saved():
    x, _, weight, bias = inputs((2, 32, 16, 16), torch.float16)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        group_norm(x.requires_grad_(), 2, weight, bias, silu=True, backend="triton")
    assert sum(t.numel() for t in saved) <= x.numel() + 2 * 32 + 2 * 2 * 2
    assert [t.dtype for t in saved if t.shape == (2, 2)] == [torch.float32] * 2


@pytest.mark.parametrize("view", [lambda x: x[:, ::2], lambda x: x.transpose(2, 3), lambda x: x[..., 1:]])
def test_any_strides(view):
    x, _, _, _ = inputs((2, 12, 5, 6), torch.float32)
    y = group_norm(view(x), 3, backend="triton")
    torch.testing.assert_close(y, group_norm(view(x), 3, backend="torch"))


def test_weights_may_be_wider_than_the_picture():
    x, dy, weight, bias = inputs((1, 8, 5, 5), torch.bfloat16)
    ours = run(x, dy, weight.float(), bias.float(), 2, True, "triton")
    assert ours["y"].dtype == torch.bfloat16 and ours["dweight"].dtype == torch.float32
    exact = run(x, dy, weight, bias, 2, True, "reference", torch.float64)
    assert error(ours["dweight"], exact["dweight"]) < 1e-6


# Which implementation runs: asked with tensors that claim to be on a GPU.


def on_gpu(x, capability, monkeypatch, **options):
    monkeypatch.setattr(backend, "capability", lambda device: capability)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with FakeTensorMode(allow_non_fake_inputs=True), Operators() as ran:
        y = group_norm(
            torch.empty(x, device="cuda", dtype=options.pop("dtype", torch.float16)), 2, silu=True, **options
        )
    return y, ran.names


@pytest.mark.parametrize("capability, ours", [((7, 0), False), ((7, 5), True), ((8, 0), True), ((12, 0), True)])
def test_auto_is_ours_from_a_t4_on(capability, ours, monkeypatch):
    y, ran = on_gpu((2, 4, 5, 5), capability, monkeypatch)
    assert ("minidiffusion.group_norm.default" in ran) == ours
    assert y.shape == (2, 4, 5, 5) and y.dtype == torch.float16 and y.is_cuda


def test_auto_is_pytorch_without_triton_and_on_a_cpu(monkeypatch):
    with Operators() as ran:
        group_norm(torch.randn(2, 4, 5), 2)
    assert not any("minidiffusion" in operator for operator in ran.names)
    monkeypatch.setattr(backend, "HAVE_TRITON", False)
    assert "minidiffusion.group_norm.default" not in on_gpu((2, 4, 5, 5), (9, 0), monkeypatch)[1]
    with pytest.raises(RuntimeError, match="needs the package triton"):
        group_norm(torch.randn(2, 4, 5), 2, backend="triton")


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"dtype": torch.int32}, ValueError, "torch.int32; it must be float32, float16, bfloat16 or float64"),
        ({"shape": (2, 5, 3)}, ValueError, "5 channels cannot be shared evenly by 2 groups"),
        ({"weight": torch.ones(3)}, ValueError, r"weight has the shape \(3,\) on cpu; it must be \(4,\)"),
        ({"shape": (0, 4, 3)}, ValueError, "at least one element"),
        ({"capability": (7, 0)}, RuntimeError, r"needs compute capability 7\.5; this card has 7\.0; use 'torch'"),
        ({"device": "meta"}, RuntimeError, "needs a CUDA tensor; this one is on meta"),
        ({"device": "cpu"}, RuntimeError, "set TRITON_INTERPRET=1 before Python starts"),
    ],
)
def test_what_the_kernel_cannot_take_is_refused_with_a_reason(change, error, words, monkeypatch):
    monkeypatch.setattr(backend, "capability", lambda device: change.get("capability", (8, 0)))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(error, match=words), FakeTensorMode(allow_non_fake_inputs=True):
        x = torch.empty(
            change.get("shape", (2, 4, 3)),
            device=change.get("device", "cuda"),
            dtype=change.get("dtype", torch.float16),
        )
        group_norm(x, 2, change.get("weight"), backend="triton")


def terms(x, dy, weight, groups):
    r"""What the gradients add up, without SiLU. A sum may be near 0, by chance or (dx) always; its rounding is not."""
    x, dy = (t.double().reshape(len(t), groups, t.shape[1] // groups, -1) for t in (x, dy))
    rstd = (x.var((2, 3), keepdim=True, correction=0) + 1e-5).rsqrt()
    xhat = (x - x.mean((2, 3), keepdim=True)) * rstd
    return {"dx": rstd * (dy if weight is None else dy * weight.view(groups, -1, 1)), "dweight": dy * xhat, "dbias": dy}


@settings(max_examples=int(os.environ.get("KERNEL_EXAMPLES", 20)), derandomize=True, deadline=None)
@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 40), st.lists(st.integers(1, 13), min_size=1, max_size=3),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]), st.booleans(), st.booleans(),
    st.permutations(range(3)), st.integers(0, 10**6),
)  # fmt: skip
def test_any_shape_stride_and_dtype(n, groups, members, pixels, dtype, silu, affine, order, seed):
    shape = (n, groups * members, *pixels)
    x, dy, weight, bias = inputs(shape, dtype, affine, seed=seed)
    if len(shape) == 3:  # in memory, the axes may come in any order
        x = x.permute(order).contiguous().permute(*map(order.index, range(3)))
    exact = run(x, dy, weight, bias, groups, silu, "reference", torch.float64)
    ours = run(x, dy, weight, bias, groups, silu, "triton")
    rounding = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    bound = rounding * (100 if math.prod(pixels) * members < 8 else 1)  # few pixels: no yardstick, but some roundings
    added = terms(x, dy, weight, groups)
    for what in exact:
        size = max(exact[what].norm(), added.get(what, exact[what]).norm())
        assert (ours[what] - exact[what]).norm() <= bound * size, what
