r"""Which implementation of an operation runs: the formula, PyTorch's fused operator, or our kernel.

Every operation of this package takes `backend="auto" | "reference" | "torch" | "triton"` with one signature and one
result, so the readable and the fast path can be compared, timed and swapped. "auto" takes our kernel where it can run
and was written for the card, and PyTorch's operator everywhere else. A CPU runs our kernels only in Triton's
interpreter (slowly, to test and to teach): set TRITON_INTERPRET=1 before the first kernel is imported. From then on
this process interprets; it can no longer compile.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, cast, get_args

import torch
from torch import Tensor

Backend = Literal["auto", "reference", "torch", "triton"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
HAVE_TRITON = importlib.util.find_spec("triton") is not None  # macOS and Windows have none

_auto: Backend = "auto"


@contextmanager
def auto_is(backend: Backend) -> Iterator[None]:
    r"""Inside the `with` block, "auto" means `backend`: a whole network runs through the formulas, or our kernels.

    It holds for the whole process, threads included. Raises ValueError for an unknown backend.
    """
    global _auto
    before, _auto = _auto, valid(backend)
    try:
        yield
    finally:
        _auto = before


def wanted(backend: str) -> str:
    """`backend`, or what "auto" means just now."""
    return _auto if backend == "auto" else backend


def valid(backend: str) -> Backend:
    """`backend`. Raises ValueError if it is none."""
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; it must be 'auto', 'reference', 'torch' or 'triton'")
    return cast(Backend, backend)


def interpreting() -> bool:
    """Does this process interpret Triton's kernels instead of compiling them?"""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def capability(device: torch.device) -> tuple[int, int]:
    """NVIDIA's generation number of a card: (7, 5) is a T4, (8, 0) an A100, (9, 0) an H100."""
    return torch.cuda.get_device_capability(device)


def resolve(backend: str, x: Tensor, oldest: tuple[int, int], obstacle: str | None = None) -> Backend:
    r"""The implementation that `backend` stands for, given the tensor x: "reference", "torch" or "triton".

    `oldest` is the compute capability from which on the kernel was written, `obstacle` says in words why it cannot take
    these arguments (None: it can). With "auto" an obstacle leads to "torch", with "triton" to an error.
    """
    if backend == "auto":
        ours = x.is_cuda and obstacle is None and HAVE_TRITON and torch.version.hip is None
        return "triton" if ours and capability(x.device) >= oldest else "torch"
    if backend == "triton":
        _refuse(x, oldest, obstacle)
    return valid(backend)


def _refuse(x: Tensor, oldest: tuple[int, int], obstacle: str | None) -> None:
    """Raise if our kernel cannot run on x, and say why and what can be done."""
    if obstacle is not None:
        raise ValueError(f"backend='triton': {obstacle}")
    if not HAVE_TRITON:
        raise RuntimeError("backend='triton' needs the package triton (Linux): pip install triton; or use 'torch'")
    if x.is_cuda and capability(x.device) < oldest:
        card, wanted = (".".join(map(str, c)) for c in (capability(x.device), oldest))
        raise RuntimeError(f"backend='triton' needs compute capability {wanted}; this card has {card}; use 'torch'")
    if x.is_cuda and interpreting():
        raise RuntimeError("TRITON_INTERPRET=1 is set: this process interprets kernels, on the CPU only")
    if not x.is_cuda and not (x.device.type == "cpu" and interpreting()):
        raise RuntimeError(
            f"backend='triton' needs a CUDA tensor; this one is on {x.device.type}. On a CPU, set TRITON_INTERPRET=1 "
            "before Python starts to interpret the kernel, or use backend='torch'"
        )


def launching_on(x: Tensor) -> AbstractContextManager:
    """Triton launches on the current device, which need not be the one that x is on."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
