r"""Fused attention: right to rounding, for any lengths and strides, in bounds, repeatable, without the m x n matrix."""

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
from minidiffusion_kernels.attention import attention, configs, op
from minidiffusion_kernels.attention.backward import backward
from minidiffusion_kernels.attention.forward import forward, forward_kernel
from minidiffusion_kernels.operators import Operators
from tests.kernels.measures import error, guarded, hold_to, without_cancellation

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
interpreted = pytest.mark.skipif(DEVICE == "cuda", reason="counted in the interpreter only")
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def heads(x):
    return x.transpose(1, 2)


def joined(g, b, h, m, n, d):
    """Queries, keys and values each with memory of its own, heads apart."""
    return tuple(torch.randn(b, h, length, d, generator=g, dtype=torch.float64) for length in (m, n, n))


def transposed(g, b, h, m, n, d):
    """As three projections of tokens leave them: `b m h d` in memory."""
    return tuple(heads(torch.randn(b, length, h, d, generator=g, dtype=torch.float64)) for length in (m, n, n))


def sliced(g, b, h, m, n, d):
    """As one projection leaves them: q, k, v of a token side by side (cross-attention: k and v)."""
    k, v = torch.randn(b, n, 2, h, d, generator=g, dtype=torch.float64).unbind(2)
    q = torch.randn(b, m, 3, h, d, generator=g, dtype=torch.float64)[:, :, 1]
    return heads(q), heads(k), heads(v)


LENGTHS = [(1, 1), (1, 77), (16, 16), (33, 100), (64, 64), (77, 77), (100, 33), (130, 257)]
WIDTHS = [16, 40, 64, 128]


def matrix():
    """Every pair of lengths with every dtype and two widths, and with `causal` where it can be."""
    draw = random.Random(0)
    for m, n in LENGTHS:
        for i, dtype in enumerate(DTYPES):
            for causal in (False, True) if m == n else (False, False):
                d = WIDTHS[(i + draw.randrange(4)) % 4] if m < 130 else (16, 128)[i % 2]
                yield m, n, d, dtype, causal, draw.choice([joined, transposed, sliced])
    for layout in (joined, transposed, sliced):
        for dtype in DTYPES:
            yield 77, 77, 40, dtype, True, layout
            yield 40, 77, 80, dtype, False, layout


MATRIX = list(dict.fromkeys(matrix()))


def name(case):
    m, n, d, dtype, causal, layout = case
    return f"{m}x{n}-d{d}-{str(dtype)[6:]}-{layout.__name__}{causal * '-causal'}"


def inputs(m, n, d, dtype, layout=joined, b=2, h=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    do = torch.randn(b, h, m, d, generator=g, dtype=torch.float64)
    q, k, v = layout(g, b, h, m, n, d)
    # The cast keeps strides, also those of a slice: into memory of the same shape.
    return tuple(x.as_strided(x.shape, x.stride()) if x.dtype == dtype else cast(x, dtype) for x in (q, k, v)), do.to(
        DEVICE, dtype
    )


def cast(x, dtype):
    size = 1 + sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True))
    return torch.empty(size, dtype=dtype, device=DEVICE).as_strided(x.shape, x.stride()).copy_(x)


def run(qkv, do, backend, causal=False, dtype=None, scale=None):
    leaves = [x.detach() if dtype is None else x.detach().to(dtype) for x in qkv]
    leaves = [x.requires_grad_() for x in leaves]
    o = attention(*leaves, causal=causal, scale=scale, backend=backend)
    o.backward(do.to(o.dtype))
    return {"o": o.detach(), "dq": leaves[0].grad, "dk": leaves[1].grad, "dv": leaves[2].grad}


@pytest.mark.parametrize("case", MATRIX, ids=name)
def test_as_near_to_float64_as_pytorch(case):
    m, n, d, dtype, causal, layout = case
    qkv, do = inputs(m, n, d, dtype, layout, b=2 if m * n < 4000 else 1)
    assert [x.stride() for x in qkv] == [x.stride() for x in layout(torch.Generator(), len(qkv[0]), 2, m, n, d)]
    if DEVICE == "cpu":
        from minidiffusion_kernels.traffic import traffic

        with traffic() as moved:
            ours = run(qkv, do, "triton", causal)
        assert moved.strays == [] and moved.atomics == 0
    else:
        ours = run(qkv, do, "triton", causal)
    # PyTorch's own error is that of the formula, operator by operator: its fused one on a CPU calculates in float32.
    hold_to(ours, run(qkv, do, "reference", causal), run(qkv, do, "reference", causal, torch.float64), dtype)


def test_the_matrix_is_large_enough():
    assert len(MATRIX) >= 60


@pytest.mark.parametrize("n, d", [(77, 64), (257, 16)])
def test_the_weights_of_a_single_query_have_no_error_in_common(n, d, monkeypatch):
    r"""As a wrong denominator is: over many queries it averages out, of one it is all there is.

    One draw is a matter of luck, for PyTorch's rounding as for ours, so there are 40. The weights of each add up to 1,
    and therefore dv = P^T dO, summed over the keys, to dO.
    """
    monkeypatch.setattr(configs, "INTERPRETED", configs.Config(16, 128, 4, 1))  # few tiles: fast
    qkv, do = inputs(1, n, d, torch.float32, b=10, h=4)
    ours, eager = run(qkv, do, "triton"), run(qkv, do, "reference")
    hold_to(ours, eager, run(qkv, do, "reference", dtype=torch.float64), torch.float32)
    in_common, yardstick = (error(x["dv"].double().sum(2, keepdim=True), do.double()) for x in (ours, eager))
    assert in_common <= 2 * yardstick, f"{in_common:.2e}, PyTorch's is {yardstick:.2e}"


def shipped():
    r"""Every tile once, with a width and a dtype that it is for."""
    half = {32: torch.float16, 64: torch.float16, 128: torch.bfloat16}
    for table in (configs.TABLE, configs.FLOAT32, configs.TF32):
        for tiles in table.values():
            for (_, d), tile in tiles.items():
                yield tile.BLOCK_M, tile.BLOCK_N, d, half[d] if table is configs.TABLE else torch.float32


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("M, N, d, dtype", dict.fromkeys(shipped()), ids=str)
def test_the_tiles_that_are_shipped_calculate_rightly(M, N, d, dtype, causal, monkeypatch):
    r"""Each with a length that leaves one whole tile, one ragged and, of queries, none."""
    monkeypatch.setattr(configs, "INTERPRETED", configs.Config(M, N, 4, 1))
    m = n = N + 3 if not causal else M + 3
    qkv, do = inputs(m, n, d, dtype, b=1, h=1)
    exact = run(qkv, do, "reference", causal, torch.float64)
    hold_to(run(qkv, do, "triton", causal), run(qkv, do, "reference", causal), exact, dtype)


@pytest.mark.parametrize("m, n, causal", [(3, 5, False), (4, 4, True), (33, 40, False), (40, 40, True)])
def test_gradients_are_derivatives(m, n, causal):
    (q, k, v), _ = inputs(m, n, 16, torch.float64, b=1, h=1)
    f = lambda q, k, v: attention(q, k, v, causal=causal, backend="triton")  # noqa: E731
    torch.autograd.gradcheck(f, [x.requires_grad_() for x in (q, k, v)], fast_mode=True)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp2:RuntimeWarning")  # in rows of dk and dv that are not
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # stored, and touch no others
@pytest.mark.parametrize("scale", [0.03, 1.0])
@pytest.mark.parametrize("m, n", [(33, 45), (5, 33)])
def test_scores_far_below_zero_do_not_overflow(m, n, scale):
    r"""All scores near -300: where there is no key, a score of 0 would weigh 2^300 times as much as any real one."""
    (q, k, v), do = inputs(m, n, 32, torch.float32)
    q, k = q.abs() + 1, -(k.abs() + 1) * (300 / 32 / 2.2 / scale) ** 0.5
    q = q * (300 / 32 / 2.2 / scale) ** 0.5
    exact = run((q, k, v), do, "reference", dtype=torch.float64, scale=scale)
    ours = run((q, k, v), do, "triton", scale=scale)
    for what in exact:
        assert error(ours[what], exact[what]) < 1e-4, what  # scores of 300 are known to 300 * 2^-24 only


def test_huge_scores_pick_the_largest():
    (q, k, v), _ = inputs(20, 70, 16, torch.float32)
    q, k = 1000 * (2 * q).round(), (2 * k).round()  # whole numbers: no score is rounded, and equal ones share
    exact = attention(q.double(), k.double(), v.double(), backend="reference")
    assert error(attention(q, k, v, backend="triton"), exact) < 5e-7


@pytest.mark.parametrize("causal", [False, True])
def test_the_logarithm_of_the_denominator(causal):
    (q, k, v), _ = inputs(45, 45, 16, torch.float32)
    peak, share = forward(q, k, v, causal, 0.25)[1].unbind(2)
    scores = (q.double() @ k.double().mT * 0.25).masked_fill(
        torch.ones(45, 45, device=DEVICE).triu(1) * causal > 0, -math.inf
    )
    L = (peak.double() - share.double().log2()) * math.log(2)
    torch.testing.assert_close(L, scores.logsumexp(-1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(peak.double() * math.log(2), scores.amax(-1), rtol=1e-6, atol=1e-6)


def test_the_operators_are_registered_as_they_behave():
    (q, k, v), do = inputs(5, 7, 16, torch.float32, sliced)
    torch.library.opcheck(op.fused_attention, (q.requires_grad_(), k, v.requires_grad_(), False, 0.25))
    q, v = q.detach(), v.detach()
    o, softmax = forward(q, k, v, False, 0.25)
    torch.library.opcheck(op.fused_attention_backward, (do, q, k, v, o, softmax, False, 0.25))


def test_compiled_by_torch_in_one_graph():
    qkv, do = inputs(5, 7, 16, torch.float32, transposed)
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    first, second = ([x.clone().requires_grad_() for x in qkv] for _ in range(2))
    attention(*first, backend="triton").backward(do)
    compiled(*second, backend="triton").backward(do)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.grad, b.grad)


def test_under_autocast_as_pytorch_does():
    (q, k, v), _ = inputs(5, 7, 16, torch.float32)
    with torch.autocast(DEVICE, torch.bfloat16):
        o = attention(q, k.bfloat16(), v, backend="triton")
    assert o.dtype == torch.bfloat16
    assert torch.equal(o, attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), backend="triton"))


@pytest.mark.parametrize("causal", [False, True])
def test_the_same_bits_every_time(causal):
    qkv, do = inputs(77, 77, 40, torch.float16, sliced)
    first, second = (run(qkv, do, "triton", causal) for _ in range(2))
    for what in first:
        assert torch.equal(first[what], second[what]), what


@pytest.mark.parametrize("m, n, d, causal", [(33, 100, 40, False), (45, 45, 24, True), (1, 1, 16, False)])
def test_what_lies_around_the_outputs_stays_untouched(m, n, d, causal, monkeypatch):
    (q, k, v), do = inputs(m, n, d, torch.float32, sliced)
    with guarded(monkeypatch):
        o, softmax = forward(q, k, v, causal, 0.2)
        backward(do, q, k, v, o, softmax, causal, 0.2)


def test_heads_can_be_joined_without_a_copy():
    (q, k, v), _ = inputs(5, 7, 16, torch.float32)
    o = attention(q, k, v, backend="triton")
    assert o.transpose(1, 2).flatten(2).data_ptr() == o.data_ptr()


def test_a_stride_of_zero_and_rows_that_are_not_contiguous():
    (q, k, v), _ = inputs(9, 40, 16, torch.float32)
    k = k[:1, :1].expand_as(k)
    v = v.mT.contiguous().mT
    torch.testing.assert_close(attention(q, k, v, backend="triton"), attention(q, k, v, backend="torch"))
    q.requires_grad_()
    attention(q, k, v, backend="triton").sum().backward()  # the gradient that arrives is a single 1, expanded
    (expected,) = torch.autograd.grad(attention(q, k, v, backend="torch").sum(), q)
    torch.testing.assert_close(q.grad, expected, rtol=1e-4, atol=1e-5)


@interpreted
def test_every_tile_of_keys_is_read_once_a_tile_of_queries():
    r"""q once, o once, k and v once for each of ceil(m / 32) tiles of queries; causal, only as far as the diagonal."""
    from minidiffusion_kernels.traffic import traffic

    (q, k, v), _ = inputs(100, 70, 16, torch.float16, b=1, h=1)
    with traffic() as moved:
        forward(q, k, v, False, 0.25)
    row = 16 * 2
    assert moved.loads == {"q": 100 * row, "k": 4 * 70 * row, "v": 4 * 70 * row}
    assert moved.stores == {"o": 100 * row, "softmax": 2 * 100 * 4}
    (q, k, v), _ = inputs(100, 100, 16, torch.float16, b=1, h=1)
    with traffic() as moved:
        forward(q, k, v, True, 0.25)
    assert moved.loads["k"] == (32 + 64 + 96 + 100) * row


@interpreted
def test_large_batches_are_found_with_64_bits():
    r"""Sample 3, and 2^30 numbers from each to the next. There is no such memory, so the access goes astray: where?"""
    from minidiffusion_kernels.traffic import traffic

    q, softmax = torch.zeros(1, 1, 32, 16), torch.zeros(4, 2, 32)
    steps = [2**30, 0, 16] * 4
    with traffic() as moved:
        forward_kernel[(4,)](
            q, q, q, q, softmax, *steps, 1, 32, 32, 1.0, D=16, BLOCK_D=16, CAUSAL=False, PRECISION="ieee", UNIT=1,
            BLOCK_M=32, BLOCK_N=32,
        )  # fmt: skip
    last = [stray.offsets.min() for stray in moved.strays if stray.program == (3, 0, 0)]
    assert set(last) == {q.data_ptr() + 3 * 2**30 * 4}


def test_no_matrix_of_weights_is_allocated(monkeypatch):
    monkeypatch.setattr(backend, "capability", lambda device: (8, 0))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with FakeTensorMode(), Operators() as ran:  # backwards called by hand: autograd would want a real CUDA
        q = torch.empty(2, 8, 4096, 40, device="cuda", dtype=torch.float16)
        k, v = (torch.empty(2, 8, 77, 40, device="cuda", dtype=torch.float16) for _ in range(2))
        o, softmax = op.fused_attention(q, k, v, False, 0.1)
        op.fused_attention_backward(o, q, k, v, o, softmax, False, 0.1)
        attention(q, k, v)
    assert ran.names.count("minidiffusion.attention.default") == 2
    assert ran.largest == q.nbytes < 2 * 8 * 4096 * 77 * q.element_size()


@interpreted
def test_nor_is_one_inside_the_operators():
    r"""Where the test above sees nothing: of pretended tensors, an operator's own code does not run."""
    (q, k, v), do = inputs(33, 100, 16, torch.float16, b=1, h=1)
    with Operators() as ran:
        o, softmax = forward(q, k, v, False, 0.25)
        backward(do, q, k, v, o, softmax, False, 0.25)
    assert ran.largest == k.nbytes < 33 * 100 * 2


def test_tiles_are_for_a_card_a_width_and_a_precision():
    float32, half = (lambda cc, d, x=x: configs.config("forward", cc, d, x) for x in (torch.float32, torch.float16))
    assert half((8, 0), 80) == vars(configs.TABLE["forward"][configs.AMPERE, 128])
    narrow = configs.config("query_gradient", (8, 0), 24, torch.float16)
    assert narrow == vars(configs.TABLE["query_gradient"][configs.AMPERE, 32])
    assert half((8, 9), 40) == half((12, 0), 64) == vars(configs.TABLE["forward"][configs.GEFORCE, 64])
    assert float32((9, 0), 64) == vars(configs.FLOAT32["forward"][configs.HOPPER, 64])
    torch.set_float32_matmul_precision("high")
    try:
        assert float32((9, 0), 64) == vars(configs.TF32["forward"][configs.HOPPER, 64])
        assert half((10, 0), 64) == vars(configs.TABLE["forward"][configs.HOPPER, 64])
    finally:
        torch.set_float32_matmul_precision("highest")


# Which implementation runs: asked with tensors that claim to be on a GPU.


@pytest.mark.parametrize("capability, ours", [((7, 5), False), ((8, 0), True), ((9, 0), True), ((12, 0), True)])
@pytest.mark.parametrize("d, dtype", [(40, torch.float16), (64, torch.bfloat16), (128, torch.float32)], ids=str)
def test_auto_is_ours_from_an_a100_on(capability, ours, d, dtype, monkeypatch):
    assert dispatched(monkeypatch, capability, d=d, dtype=dtype) == ours


def dispatched(monkeypatch, capability, shape=(2, 2, 5), d=16, dtype=torch.float16, **options):
    monkeypatch.setattr(backend, "capability", lambda device: capability)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with FakeTensorMode(), Operators() as ran:
        q = torch.empty(*shape, d, device="cuda", dtype=dtype)
        o = attention(q, q, q, **options)
        assert o.shape == q.shape and o.is_cuda and o.dtype == dtype
    return "minidiffusion.attention.default" in ran.names


@pytest.mark.parametrize("obstacle", [{"d": 8}, {"d": 160}, {"dtype": torch.float64}, {"scale": -1.0}], ids=str)
def test_auto_leaves_to_pytorch_what_the_kernel_cannot_take(obstacle, monkeypatch):
    assert dispatched(monkeypatch, (9, 0))
    assert not dispatched(monkeypatch, (9, 0), **obstacle)


def test_auto_is_pytorch_on_a_cpu():
    q = torch.randn(1, 1, 4, 16)
    with Operators() as ran:
        attention(q, q, q)
    assert not any("minidiffusion" in operator for operator in ran.names)


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"dtype": torch.float64}, ValueError, "torch.float64; it must be float32, float16 or bfloat16"),
        ({"k_dtype": torch.float32}, ValueError, "all three must have one dtype"),
        ({"d": 8}, ValueError, "heads are 8 wide; they must be 16 to 128"),
        ({"d": 129}, ValueError, "heads are 129 wide; they must be 16 to 128"),
        ({"k_shape": (2, 3, 6, 16)}, ValueError, r"\(2, 3, 6, 16\).*they must be `b h m d`, `b h n d`"),
        ({"k_shape": (2, 2, 0, 16)}, ValueError, "there must be at least one query and one key"),
        ({"scale": 0.0}, ValueError, "scale is 0.0; it must be positive"),
        ({"causal": True, "k_shape": (2, 2, 6, 16)}, ValueError, "5 queries over 6 keys; their numbers must be equal"),
        ({"capability": (7, 5)}, RuntimeError, r"needs compute capability 8\.0; this card has 7\.5; use 'torch'"),
        ({"device": "cpu"}, RuntimeError, "set TRITON_INTERPRET=1 before Python starts"),
    ],
)
def test_what_the_kernel_cannot_take_is_refused_with_a_reason(change, error, words, monkeypatch):
    monkeypatch.setattr(backend, "capability", lambda device: change.get("capability", (8, 0)))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    dtype, device, d = change.get("dtype", torch.float16), change.get("device", "cuda"), change.get("d", 16)
    with FakeTensorMode():
        q = torch.empty(2, 2, 5, d, device=device, dtype=dtype)
        k = torch.empty(change.get("k_shape", (2, 2, 6, d)), device=device, dtype=change.get("k_dtype", dtype))
        with pytest.raises(error, match=words):
            attention(q, k, k, causal=change.get("causal", False), scale=change.get("scale"), backend="triton")


def test_causal_needs_as_many_keys_as_queries_on_every_backend():
    q, k = torch.randn(1, 1, 4, 16), torch.randn(1, 1, 5, 16)
    for which in ("auto", "reference", "torch"):
        with pytest.raises(ValueError, match="4 queries over 5 keys"):
            attention(q, k, k, causal=True, backend=which)


@settings(max_examples=int(os.environ.get("KERNEL_EXAMPLES", 20)), derandomize=True, deadline=None)
@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 80), st.integers(1, 80), st.integers(16, 128), st.booleans(),
    st.sampled_from(DTYPES), st.sampled_from([joined, transposed, sliced]), st.integers(0, 10**6),
)  # fmt: skip
def test_any_shape_stride_and_dtype(b, h, m, n, d, causal, dtype, layout, seed):
    qkv, do = inputs(m, m if causal else n, d, dtype, layout, b, h, seed)
    exact = run(qkv, do, "reference", causal, torch.float64)
    ours = run(qkv, do, "triton", causal)
    size = without_cancellation(*qkv, do, causal)  # few rows: PyTorch's own error is no yardstick
    # In float32 the scores are rounded as coarsely as the rest, each d times.
    rounding = (12 if dtype == torch.float32 else 3) * torch.finfo(dtype).eps / 2
    for what in exact:
        assert (ours[what].double() - exact[what]).norm() <= rounding * size[what].norm(), what
