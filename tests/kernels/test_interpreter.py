r"""The interpreter calculates in bfloat16 as PyTorch and a GPU do, and refuses what it would get wrong."""

import pytest
import torch

triton = pytest.importorskip("triton")
if torch.cuda.is_available():
    pytest.skip("this process compiles kernels; there is no interpreter to test", allow_module_level=True)

import numpy as np  # noqa: E402
import triton.language as tl  # noqa: E402

from minidiffusion_kernels import interpreter  # noqa: E402
from minidiffusion_kernels.interpreter import jit, rounded, widened  # noqa: E402

bf16 = torch.bfloat16


def bits(x):
    return x.view(torch.int16).numpy().view(np.uint16)


def test_rounding_is_that_of_pytorch_for_every_kind_of_number():
    upper = np.arange(1 << 16, dtype=np.uint32) << 16  # every bfloat16, and what lies around the middle to the next one
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=np.uint32)
    x = (upper[:, None] + lower).view(np.float32)
    expected = bits(torch.from_numpy(x).bfloat16())
    number = ~np.isnan(x)
    np.testing.assert_array_equal(rounded(x)[number], expected[number])
    assert np.isnan(widened(rounded(x)))[~number].all()


@jit
def calculate(a_ptr, b_ptr, out_ptr, OPERATION: tl.constexpr, N: tl.constexpr):
    i = tl.arange(0, N)
    a, b = tl.load(a_ptr + i), tl.load(b_ptr + i)
    if OPERATION == "+":
        out = a + b
    elif OPERATION == "-":
        out = a - b
    elif OPERATION == "*":
        out = a * b
    elif OPERATION == "/":
        out = a / b
    elif OPERATION == "fma":
        out = tl.fma(a, b, a)
    elif OPERATION == "<":
        out = tl.where(a < b, a, b)
    elif OPERATION == "maximum":
        out = tl.maximum(a, b)
    elif OPERATION == "abs":
        out = tl.abs(a)
    elif OPERATION == "negative":
        out = -a
    elif OPERATION == "literal":
        out = a * 1.1
    elif OPERATION == "sqrt":
        out = tl.sqrt(tl.abs(a).to(tl.float32))
    elif OPERATION == "clamp":
        out = tl.clamp(a, -0.5, 0.5)
    elif OPERATION == "max":
        out = tl.zeros([N], tl.bfloat16) + tl.max(a)
    elif OPERATION == "sum":
        out = a + tl.sum(a)
    elif OPERATION == "int":
        out = (a * 100).to(tl.int32)
    elif OPERATION == "fp16":
        out = a.to(tl.float16)
    elif OPERATION == "fp64":
        out = a.to(tl.float64)
    tl.store(out_ptr + i, out)


EXPECTED = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: (a.float() / b.float()).bfloat16(),
    "fma": lambda a, b: (a.double() * b.double() + a.double()).bfloat16(),
    "<": torch.minimum,
    "maximum": torch.maximum,
    "abs": lambda a, b: a.abs(),
    "negative": lambda a, b: -a,
    "literal": lambda a, b: a * torch.tensor(1.1).bfloat16(),
    "sqrt": lambda a, b: a.abs().float().sqrt().bfloat16(),
    "clamp": lambda a, b: a.clamp(-0.5, 0.5),
    "max": lambda a, b: a.max().expand(a.shape),
    "int": lambda a, b: (a * 100).float().trunc().bfloat16(),
    "fp16": lambda a, b: a.half().bfloat16(),
    "fp64": lambda a, b: a,
}


def two(n=256):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, generator=g).to(bf16), torch.randn(n, generator=g).to(bf16)


@pytest.mark.parametrize("operation", EXPECTED)
def test_an_operation_rounds_once(operation):
    a, b = two()
    out = torch.empty_like(a)
    calculate[(1,)](a, b, out, operation, 256)
    torch.testing.assert_close(out, EXPECTED[operation](a, b), rtol=0, atol=0)


def test_a_sum_of_bfloat16_is_refused():
    a, b = two()
    with pytest.raises(Exception, match=r"reduction or scan of bfloat16: cast to tl\.float32 first"):
        calculate[(1,)](a, b, torch.empty_like(a), "sum", 256)


@jit
def product(a_ptr, b_ptr, out_ptr, N: tl.constexpr):
    i, j = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    tl.store(out_ptr + i * N + j, tl.dot(tl.load(a_ptr + i * N + j), tl.load(b_ptr + i * N + j)))


@pytest.mark.parametrize("dtype", [bf16, torch.float16])
def test_dot_multiplies_numbers_and_adds_in_float32(dtype):
    a, b = (x.to(dtype).view(16, 16) for x in two())
    out = torch.empty(16, 16)
    product[(1,)](a, b, out, 16)
    torch.testing.assert_close(out.double(), a.double() @ b.double(), rtol=0, atol=1e-5)


def test_an_unknown_triton_is_refused(monkeypatch):
    monkeypatch.setattr(triton, "__version__", "3.10.0")
    monkeypatch.setattr(interpreter.interpreter.interpreter_builder, "__class__", interpreter.InterpreterBuilder)
    with pytest.raises(RuntimeError, match=r"3\.10\.0 is installed.*install Triton 3\.7, 3\.8 or 3\.9"):
        interpreter.install()


def test_a_changed_interpreter_is_refused(monkeypatch):
    monkeypatch.setattr(interpreter.interpreter.interpreter_builder, "__class__", interpreter.InterpreterBuilder)
    monkeypatch.delattr(interpreter.InterpreterBuilder, "create_dot")
    with pytest.raises(RuntimeError, match="has been changed \\(no create_dot\\)"):
        interpreter.install()
