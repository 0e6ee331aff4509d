r"""Compiling for a card that is not there, exactly what would be launched on it.

The launcher that users run is called on tensors without memory (PyTorch's "meta" device), with Triton's compiler in
place of the launch. So what is measured is what is shipped: the same tiles, and the same specialisation of the
arguments. Triton compiles another kernel for a length that is a multiple of 16 than for one that is not.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple
from unittest import mock

import triton
from triton.backends.compiler import GPUTarget

from minidiffusion_kernels import backend


class Launch(NamedTuple):
    kernel: str
    tile: str  # the sides of the tile of one program, "128x64"
    code: Any  # what Triton compiled: `asm` and `metadata`
    report: str  # what ptxas, the last step of the compilation, says about it


class Driver:
    """As much of a driver as the compiler needs. Each is its own device, for which nothing has been compiled yet."""

    def __init__(self, cc: int):
        self.cc = cc

    def get_current_target(self):
        return GPUTarget("cuda", self.cc, 32)

    def get_current_device(self):
        return self

    def get_current_stream(self, device):
        return 0


@contextmanager
def compiling_for(cc: int) -> Iterator[list[Launch]]:
    """Inside, launching a kernel compiles it for the compute capability `cc` (80 is 8.0) and adds it to the list.

    Raises RuntimeError in a process that interprets kernels: their functions are not the compiler's any more.
    """
    if backend.interpreting():
        raise RuntimeError("TRITON_INTERPRET=1 is set: this process can only interpret; unset it to compile")
    launches = []
    run = triton.JITFunction.run

    def compile_only(kernel, *arguments, grid, warmup, **options):
        # BLOCK_D is the width of a head, which the case tells.
        sides = [str(size) for name, size in options.items() if name.startswith("BLOCK_") and name != "BLOCK_D"]
        with redirect_stdout(io.StringIO()) as report:
            code = run(kernel, *arguments, grid=grid, warmup=True, **options)
        launches.append(Launch(kernel.__name__, "x".join(sides), code, report.getvalue()))

    with (
        mock.patch.object(triton.runtime.driver, "_active", Driver(cc)),
        mock.patch.object(triton.JITFunction, "run", compile_only),
        mock.patch.object(backend, "capability", lambda device: divmod(cc, 10)),
        mock.patch.dict(os.environ, TRITON_DUMP_PTXAS_LOG="1", TRITON_ALWAYS_COMPILE="1"),  # from disk it says nothing
    ):
        yield launches
