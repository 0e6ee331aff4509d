r"""What every benchmark shares: one row for one figure, one CSV file, and on which machine it was measured."""

import csv
import math
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

RESULTS = Path(__file__).parent / "results"


class Row(NamedTuple):
    r"""One figure. low, high: the interval in which the true one lies with 95 % confidence, where there is one."""

    benchmark: str
    case: str
    sampler: str
    calls: int
    metric: str
    value: float
    unit: str
    low: float = math.nan
    high: float = math.nan


COLUMNS: tuple[str, ...] = (
    "benchmark",
    "case",
    "sampler",
    "calls",
    "metric",
    "value",
    "low",
    "high",
    "unit",
    "machine",
    "torch",
)


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    r"""Writes the rows with the machine in each, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    here = {"machine": machine(), "torch": torch.__version__}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            floats = {name: x for name, x in row._asdict().items() if isinstance(x, float)}
            figures = {name: "" if math.isnan(x) else f"{x:.6g}" for name, x in floats.items()}
            writer.writerow(row._asdict() | figures | here)


def machine() -> str:
    r"""The processor, how many cores it has here, and how many of them PyTorch uses. No names of hosts or people."""
    return f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} used"


def processor() -> str:
    r"""The processor's name, where the system tells it; its kind otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
