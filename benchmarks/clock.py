r"""How long does a function take, and how much memory does it need at once? On a CPU, on a CUDA card, or in rehearsal.

A shared CPU slows down and speeds up, so contenders run in turns, in alternating order: what disturbs one disturbs all.
A card is left to `triton.testing.do_bench`, which empties the cache between runs. The rehearsal takes every step that a
card would see, in the interpreter and on tiny inputs, and invents the figures.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.harness import processor

Contenders = Mapping[str, Callable[[], object]]
QUANTILES = (0.5, 0.05, 0.95)


class Spread(NamedTuple):
    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    return Spread(*np.quantile(values, QUANTILES).tolist())


def race(contenders: Contenders, seconds: float, least: int = 5, tick: float = 0.005) -> dict[str, list[float]]:
    r"""Seconds a call, round by round: in each round every contender runs once, for at least a `tick`."""
    calls = {name: max(1, round(tick / timed(f, warm=True))) for name, f in contenders.items()}
    taken, order = {name: [] for name in contenders}, [*contenders]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken[order[0]]) < least:
        for name in order:
            taken[name].append(timed(contenders[name], calls[name]))
        order.reverse()
    return taken


def timed(f: Callable[[], object], calls: int = 1, warm: bool = False) -> float:
    if warm:
        f()
    start = time.perf_counter()
    for _ in range(calls):
        f()
    return (time.perf_counter() - start) / calls


class Cpu:
    device = "cpu"
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    backends: tuple[str, ...] = ("reference", "torch")
    suffix = ""  # of the file with results
    seconds = 1.5

    @property
    def name(self) -> str:
        return processor()

    def times(self, contenders: Contenders) -> dict[str, Spread]:
        return {name: spread(values) for name, values in self.race(contenders, self.seconds).items()}

    def race(self, contenders: Contenders, seconds: float) -> dict[str, list[float]]:
        return race(contenders, seconds)

    def peak(self, f: Callable[[], object]) -> float:
        return float("nan")  # PyTorch keeps no account of a CPU's memory


class Cuda:
    device = "cuda"
    backends: tuple[str, ...] = ("reference", "compile", "torch", "triton")
    compiler = "inductor"
    suffix = "-cuda"

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name()

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        return (torch.float16, torch.bfloat16)[: 2 if torch.cuda.get_device_capability() >= (8, 0) else 1]

    def times(self, contenders: Contenders) -> dict[str, Spread]:
        from triton.testing import do_bench

        def seconds(f: Callable[[], object]) -> Spread:
            return Spread(*(ms / 1e3 for ms in do_bench(f, quantiles=[*QUANTILES])))  # pyright: ignore

        return {name: seconds(f) for name, f in contenders.items()}

    def race(self, contenders: Contenders, seconds: float) -> dict[str, list[float]]:
        return race(contenders, seconds)  # of whole training steps, which wait for the card themselves

    def peak(self, f: Callable[[], object]) -> float:
        r"""Bytes beyond what was allocated before."""
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        f()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before


class Rehearsal(Cuda):
    device = "cpu"
    name = "rehearsal: no GPU, invented figures"  # pyright: ignore
    dtypes = (torch.float16,)  # pyright: ignore
    compiler = "aot_eager"

    def times(self, contenders: Contenders) -> dict[str, Spread]:
        return {name: spread(values) for name, values in self.race(contenders, 0).items()}

    def race(self, contenders: Contenders, seconds: float) -> dict[str, list[float]]:
        for f in contenders.values():
            f()
        return {name: [i * 0.9e-3, i * 1e-3, i * 1.2e-3] for i, name in enumerate(contenders, start=1)}

    def peak(self, f: Callable[[], object]) -> float:
        return 1e6


Clock = Cpu | Cuda


def here() -> Clock:
    return Cuda() if torch.cuda.is_available() else Cpu()
