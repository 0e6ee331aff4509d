r"""What only a card can tell: real sizes, compiled code, threads that run at once. Skipped, and counted, without one.

Nobody has run these tests yet; their bodies have been run in the interpreter, on small sizes.
"""

import pytest
import torch

pytest.importorskip("triton")

from benchmarks import attention, group_norm
from benchmarks.sweep import one_pass, refused
from minidiffusion_kernels.attention import op
from minidiffusion_kernels.operators import Operators
from tests.kernels.measures import hold_to

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card"),
]

DEVICE = "cuda"
PROBLEMS = [
    attention.Attention("self", 1, 2, 4096, 4096, 40),
    attention.Attention("words", 1, 2, 4096, 77, 40),
    attention.Attention("ragged", 1, 2, 1000, 1013, 64),
    attention.Attention("wide", 1, 2, 1024, 1024, 128),
    group_norm.GroupNorm("first", (2, 320, 64, 64)),
    group_norm.GroupNorm("first", (2, 320, 64, 64), memory="channels_last"),
    group_norm.GroupNorm("last", (2, 1280, 8, 8)),
    group_norm.GroupNorm("ragged", (1, 960, 33, 31)),
]
HALVES = [torch.float16, torch.bfloat16]


def name(problem):
    return " ".join(map(str, problem.case.values()))


def leaves(problem, dtype):
    inputs = problem.inputs(DEVICE, dtype)
    if reason := problem.refusal(*inputs):
        pytest.skip(reason)
    return [x.requires_grad_() for x in inputs]


def results(problem, backend, inputs, dy):
    y = problem.run(backend, *inputs)
    return dict(enumerate([y.detach(), *torch.autograd.grad(y, inputs, dy.to(y.dtype))]))


@pytest.mark.parametrize("dtype", [*HALVES, torch.float32], ids=str)
@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
def test_as_near_to_float64_as_pytorch(problem, dtype):
    inputs = leaves(problem, dtype)
    dy = torch.randn_like(problem.run("torch", *inputs))
    exact = results(problem, "reference", [x.detach().double().requires_grad_() for x in inputs], dy)
    hold_to(results(problem, "triton", inputs, dy), results(problem, "reference", inputs, dy), exact, dtype)


@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
def test_the_same_bits_every_time(problem):
    r"""Threads that wrote over each other would not fail every time: so, many times."""
    inputs = leaves(problem, torch.float16)
    dy = torch.randn_like(problem.run("torch", *inputs))
    first = results(problem, "triton", inputs, dy)
    for _ in range(50):
        again = results(problem, "triton", inputs, dy)
        assert all(torch.equal(first[what], again[what]) for what in first)


@pytest.mark.parametrize("problem", [PROBLEMS[0], PROBLEMS[4]], ids=name)
def test_compiled_by_inductor_as_well(problem):
    inputs = leaves(problem, torch.float16)
    dy = torch.randn_like(problem.run("torch", *inputs))
    compiled = torch.compile(lambda *x: problem.run("triton", *x), fullgraph=True)
    y = compiled(*inputs)
    eager = results(problem, "triton", inputs, dy)
    assert torch.equal(y, eager[0])
    for mine, right in zip(torch.autograd.grad(y, inputs, dy), list(eager.values())[1:], strict=True):
        assert torch.equal(mine, right)


def test_the_matrix_of_weights_is_never_in_memory():
    problem = PROBLEMS[0]
    inputs = leaves(problem, torch.float16)
    dy = torch.randn_like(problem.run("torch", *inputs))
    both = one_pass("both", lambda *x: problem.run("triton", *x), inputs, dy)
    both()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    both()
    weights = problem.b * problem.h * problem.m * problem.n * 2
    assert torch.cuda.max_memory_allocated() - before < weights / 10


@pytest.mark.parametrize("problem", [PROBLEMS[0], PROBLEMS[4]], ids=name)
def test_auto_is_our_kernel_where_it_was_written_for_the_card(problem):
    inputs = problem.inputs(DEVICE, torch.float16)
    with Operators() as ran:
        problem.run("auto", *inputs)
    ours = any(operator.startswith("minidiffusion.") for operator in ran.names)
    assert ours == (problem.refusal(*inputs) is None)


def test_an_old_card_takes_pytorchs_attention():
    q = torch.randn(1, 2, 16, 64, device=DEVICE, dtype=torch.float16)
    reason = refused(q, op.OLDEST, op.obstacle(q, q, q, None))
    assert (reason is not None) == (torch.cuda.get_device_capability() < op.OLDEST)
