r"""Triton's interpreter, made trustworthy for bfloat16.

With TRITON_INTERPRET=1 a kernel runs on the CPU as Python over numpy arrays. numpy has no bfloat16, so the interpreter
keeps such numbers as their 16 bits in a uint16 and, as of Triton 3.9, gets them wrong without a word: `+` and `tl.dot`
calculate with the bit patterns, and a cast from float32 cuts the lower bits off where a GPU rounds to nearest even.
Its authors know and have declined a repair (triton issue 11584, pull request 11585).

The repair: a bfloat16 is the upper half of a float32, so each operation widens its operands (exactly), calculates in
float32 and rounds once. For + - * / and sqrt that is the correctly rounded bfloat16: float32 has 24 bits, and
24 >= 2 * 8 + 2 makes the double rounding harmless (Figueroa 1995). What would still differ from a GPU is refused: see
`refuse_bfloat16`.

What is marked `@no_type_check` runs for every operation of every program: there, the tests' checks would cost more than
the work.
"""

import inspect
from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
import triton
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpretedFunction, InterpreterBuilder, TensorHandle

from minidiffusion_kernels.backend import interpreting

KNOWN = ("3.7", "3.8", "3.9")
FLOATS = (tl.float16, tl.float32, tl.float64)


def jit(kernel: Callable) -> Any:
    r"""`@triton.jit` for kernels that are interpreted as well: it sees to it that the interpreter is repaired first.

    The tests wrap every function of this package to check its arguments; Triton needs the function itself.
    """
    if interpreting():
        install()
    return triton.jit(inspect.unwrap(kernel))


@no_type_check
def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits -> float32, exactly: the lower half of a float32 is filled with zeros."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


@no_type_check
def rounded(x: np.ndarray) -> np.ndarray:
    r"""float32 -> bfloat16 bits, to nearest, ties to even; NaN stays NaN.

    Adding just under half a unit of the last kept place carries into it when the cut part is above one half; adding the
    last kept bit as well lets a tie carry only where that bit is odd.
    """
    x = np.asarray(x, dtype=np.float32)
    bits = x.view(np.uint32)
    upper = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FC0), upper)


@no_type_check
def is_bfloat16(x: object) -> bool:
    return isinstance(x, TensorHandle) and x.dtype.scalar == tl.bfloat16


@no_type_check
def wide(x: TensorHandle) -> TensorHandle:
    return TensorHandle(widened(x.data), tl.float32) if is_bfloat16(x) else x


@no_type_check
def narrow(x: np.ndarray) -> TensorHandle:
    return TensorHandle(rounded(x), tl.bfloat16)


@no_type_check
class BFloat16Builder(InterpreterBuilder):
    """The interpreter's table of operations, with bfloat16 done through float32. Other types pass through."""

    def cast_impl(self, src, dst_type):
        if dst_type.scalar == tl.bfloat16:
            return src if is_bfloat16(src) else narrow(src.data.astype(np.float32))
        return super().cast_impl(wide(src), dst_type)

    def create_fp_to_fp(self, src, dst_type, rounding_mode):
        types = {src.dtype.scalar, dst_type.scalar}
        if tl.bfloat16 in types:
            if not types <= {tl.bfloat16, *FLOATS}:
                refuse_bfloat16(f"a cast between {src.dtype.scalar} and {dst_type.scalar}")
            return self.cast_impl(src, dst_type)
        return super().create_fp_to_fp(src, dst_type, rounding_mode)

    def get_bf16(self, value):  # a literal; 3.7 and 3.8 have no such method
        return narrow(np.array([value]))

    def binary_op(self, lhs, rhs, op):
        if not is_bfloat16(lhs):
            return super().binary_op(lhs, rhs, op)
        result = op(widened(lhs.data), widened(rhs.data))
        return TensorHandle(result, tl.int1) if result.dtype == np.bool_ else narrow(result)

    def unary_op(self, arg, op):
        return narrow(op(widened(arg.data))) if is_bfloat16(arg) else super().unary_op(arg, op)

    def create_rsqrt(self, arg):
        return narrow(1 / np.sqrt(widened(arg.data))) if is_bfloat16(arg) else super().create_rsqrt(arg)

    def create_erf(self, arg):
        return narrow(super().create_erf(wide(arg)).data) if is_bfloat16(arg) else super().create_erf(arg)

    def create_fma(self, x, y, z):  # the product of two bfloat16 is exact in float32
        if not is_bfloat16(z):
            return super().create_fma(x, y, z)
        return narrow(widened(x.data).astype(np.float64) * widened(y.data) + widened(z.data))

    def create_clampf(self, arg, low, high, propagate_nans):
        if not is_bfloat16(arg):
            return super().create_clampf(arg, low, high, propagate_nans)
        return narrow(super().create_clampf(wide(arg), wide(low), wide(high), propagate_nans).data)

    def create_dot(self, a, b, d, *options, **more):
        if is_bfloat16(d):
            refuse_bfloat16("tl.dot into bfloat16")
        return super().create_dot(wide(a), wide(b), d, *options, **more)

    def create_dot_scaled(self, lhs, *more, **options):
        if any(map(is_bfloat16, (lhs, *more, *options.values()))):
            refuse_bfloat16("tl.dot_scaled")
        return super().create_dot_scaled(lhs, *more, **options)  # pyright: ignore

    def create_atomic_rmw(self, rmw, ptr, value, *more):
        if is_bfloat16(value):
            refuse_bfloat16("an atomic operation")
        return super().create_atomic_rmw(rmw, ptr, value, *more)


def refuse_bfloat16(operation: str) -> None:
    raise TypeError(f"the interpreter has no trustworthy {operation} of bfloat16: cast to tl.float32 first")


@no_type_check
class _CarefulReduce(interpreter.ReduceOps):
    def apply_impl(self, input):
        _check_reduced(input)
        return super().apply_impl(input)


@no_type_check
class _CarefulScan(interpreter.ScanOps):
    def apply_impl(self, input):
        _check_reduced(input)
        return super().apply_impl(input)


@no_type_check
def _check_reduced(tensors) -> None:
    """A GPU rounds the partial sums of a bfloat16 reduction in an order of its own, which nothing here imitates."""
    if any(is_bfloat16(x.handle) for x in tensors):
        refuse_bfloat16("reduction or scan")


_prepared = set()


@no_type_check
def call_helper(helper: InterpretedFunction, *arguments, **options):
    """What a kernel calling a helper does. Triton would prepare its whole language anew for each call, which takes most
    of the time; once for each helper is enough, as the launch of the kernel has prepared the rest."""
    if helper.fn not in _prepared:
        interpreter._patch_lang(helper.fn)
        _prepared.add(helper.fn)
    return helper.rewrite()(*arguments, **options)


def install() -> None:
    r"""Repair the interpreter of this process; a second call does nothing.

    Raises RuntimeError for a Triton whose interpreter this file does not know: no number is better than a wrong one.
    """
    builder = interpreter.interpreter_builder
    if isinstance(builder, BFloat16Builder):
        return
    if not triton.__version__.startswith(tuple(f"{version}." for version in KNOWN)):
        raise RuntimeError(
            f"Triton {triton.__version__} is installed, and its interpreter is not known to calculate rightly in "
            f"bfloat16; install Triton {', '.join(KNOWN[:-1])} or {KNOWN[-1]}, or run the kernels on a GPU"
        )
    replaced = [name for name in vars(BFloat16Builder) if not name.startswith("_")]
    optional = {"get_bf16", "create_dot_scaled"}  # not in 3.7
    unknown = [name for name in replaced if name not in optional and not hasattr(InterpreterBuilder, name)]
    if unknown or type(builder) is not InterpreterBuilder:
        raise RuntimeError(
            f"the interpreter of Triton {triton.__version__} has been changed "
            f"(no {', '.join(unknown) or 'plain builder'}), so bfloat16 cannot be repaired; reinstall Triton"
        )
    builder.__class__ = BFloat16Builder
    InterpretedFunction.__call__ = call_helper  # pyright: ignore
    interpreter.ReduceOps = _CarefulReduce
    interpreter.ScanOps = _CarefulScan
