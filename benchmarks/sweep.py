r"""What the benchmarks of kernels share: check every backend, time each pass, and say how many bytes it moves.

Whatever is wrong is not timed: each backend's result and gradients are compared with the formula's in a wider type
first. Rates count the task and not the way it is done: the FLOPs that the formula needs, the bytes of a kernel that
reads every input once and writes every output once (`benchmarks/bytes.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch._functorch.config
from torch import Tensor

from benchmarks.bytes import PASSES, Passes
from benchmarks.clock import Clock, Cuda, Spread
from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion_kernels.backend import Backend, resolve

WIDER = {torch.float32: torch.float64, torch.float16: torch.float32, torch.bfloat16: torch.float32}
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}  # relative; a wrong kernel is off by 1
Operation = Callable[..., Tensor]


class Problem(Protocol):
    r"""One shape of one operation."""

    @property
    def case(self) -> dict[str, Any]: ...

    @property
    def feasible_on_cpu(self) -> bool: ...

    def inputs(self, device: str, dtype: torch.dtype) -> list[Tensor]: ...

    def run(self, backend: Backend, *inputs: Tensor) -> Tensor: ...

    def refusal(self, *inputs: Tensor) -> str | None:
        r"""Why our kernel will not take these inputs on this machine; None if it will."""
        ...

    def flops(self) -> Passes | None: ...

    def least(self, dtype: torch.dtype) -> Passes: ...

    def moved(self, dtype: torch.dtype, capability: tuple[int, int]) -> dict[str, Passes]:
        r"""For each backend that has a model: the bytes that it asks for."""
        ...


def sweep(question: str, problems: Sequence[Problem], clock: Clock, folder: Path = RESULTS) -> list[Row]:
    r"""Every problem in every dtype of the machine. The rows also go to a file of the folder."""
    capability = torch.cuda.get_device_capability() if clock.device == "cuda" else (8, 0)
    rows = []
    for problem in problems:
        for dtype in clock.dtypes:
            rows += modelled(question, problem, dtype, problem.moved(dtype, capability))
            if clock.device == "cuda" or problem.feasible_on_cpu:
                rows += measured(question, problem, dtype, clock)
    write_csv(folder / f"{question}{clock.suffix}.csv", rows)
    return rows


def modelled(question: str, problem: Problem, dtype: torch.dtype, moved: dict[str, Passes]) -> Iterator[Row]:
    for backend, of in moved.items():
        for which in PASSES:
            yield Row(
                question, {**problem.case, "pass": which}, "bytes (model, not measured)", of[which], "B",
                backend=backend, dtype=short(dtype), device="model, not measured",
            )  # fmt: skip


def measured(question: str, problem: Problem, dtype: torch.dtype, clock: Clock) -> Iterator[Row]:
    inputs = [x.requires_grad_() for x in problem.inputs(clock.device, dtype)]
    candidates = contenders(problem, inputs, clock)
    dy = torch.randn_like(problem.run("torch", *inputs))
    check(problem, candidates, inputs, dy)
    flops, least = problem.flops(), problem.least(dtype)
    for which in PASSES:
        runs = {backend: one_pass(which, f, inputs, dy) for backend, f in candidates.items()}
        times = clock.times(runs)
        shape = ", ".join(str(value) for value in problem.case.values())
        found = "  ".join(f"{backend} {seconds.median * 1e3:.3g} ms" for backend, seconds in times.items())
        print(f"{shape:46} {short(dtype):9} {which:9} {found}", flush=True)
        for backend, seconds in times.items():
            figures = {("time", "s"): seconds, ("rate", "GB/s"): rate(least[which] / 1e9, seconds)}
            if flops:
                figures["rate", "TFLOP/s"] = rate(flops[which] / 1e12, seconds)
            if isinstance(clock, Cuda):
                figures["peak memory", "B"] = Spread(clock.peak(runs[backend]), float("nan"), float("nan"))
            case = {**problem.case, "pass": which}
            for (metric, unit), (value, low, high) in figures.items():
                yield Row(question, case, metric, value, unit, low, high, backend, short(dtype), clock.name)


def contenders(problem: Problem, inputs: list[Tensor], clock: Clock) -> dict[str, Operation]:
    r"""The backends that can run here. "compile" is the formula, fused by torch.compile."""

    def formula(*x: Tensor) -> Tensor:
        return problem.run("reference", *x)

    def through(backend) -> Operation:
        return lambda *x: problem.run(backend, *x)

    found: dict[str, Operation] = {backend: through(backend) for backend in clock.backends}
    if "compile" in found and isinstance(clock, Cuda):
        torch._dynamo.reset()  # each shape is compiled for itself
        torch._functorch.config.donated_buffer = False  # type: ignore  # so that a backward pass can be repeated
        found["compile"] = torch.compile(formula, backend=clock.compiler, dynamic=False)
    if "triton" in found and (reason := problem.refusal(*inputs)):
        print(f"{problem.case}: without our kernel: {reason}", flush=True)
        del found["triton"]
    return found


def one_pass(which: str, f: Operation, inputs: list[Tensor], dy: Tensor) -> Callable[[], object]:
    def forward() -> Tensor:
        with torch.no_grad():
            return f(*inputs)

    match which:
        case "forward":
            return forward
        case "backward":
            y = f(*inputs)
            return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)
        case _:
            return lambda: torch.autograd.grad(f(*inputs), inputs, dy)


def check(problem: Problem, candidates: dict[str, Operation], inputs: list[Tensor], dy: Tensor) -> None:
    r"""Raises RuntimeError if a backend's result or one of its gradients is not the formula's."""

    def results(f: Operation, x: Sequence[Tensor], dy: Tensor) -> list[Tensor]:
        y = f(*x)
        return [y, *torch.autograd.grad(y, x, dy)]

    dtype = dy.dtype
    wide = [x.detach().to(WIDER[dtype]).requires_grad_() for x in inputs]
    exact = results(lambda *x: problem.run("reference", *x), wide, dy.to(WIDER[dtype]))
    for backend, f in candidates.items():
        for i, (mine, right) in enumerate(zip(results(f, inputs, dy), exact, strict=True)):
            error = ((mine.to(right.dtype) - right).norm() / right.norm()).item()
            if not error <= TOLERANCE[dtype]:
                what = f"gradient {i - 1}" if i else "result"
                raise RuntimeError(f"{problem.case}, {short(dtype)}: the {what} of {backend} is off by {error:.1e}")


def refused(x: Tensor, oldest: tuple[int, int], obstacle: str | None) -> str | None:
    try:
        resolve("triton", x, oldest, obstacle)
    except (ValueError, RuntimeError) as reason:
        return str(reason)
    return None


def rate(work: float, seconds: Spread) -> Spread:
    return Spread(work / seconds.median, work / seconds.high, work / seconds.low)


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
