r"""What every benchmark shares: one row for one figure, one CSV file for one question, and where it was measured.

The columns are the same for all questions. What a benchmark varies (shape, sampler, number of calls) is in `case`, as
"sampler=heun; calls=14": a new benchmark needs no new column, and no column is empty for most of them.
"""

import csv
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

RESULTS = Path(__file__).parent / "results"


class Row(NamedTuple):
    r"""One figure. low, high: a 95 % confidence interval of a share, the 5th and 95th percentile of repeated times."""

    question: str
    case: Mapping[str, Any]
    metric: str
    value: float
    unit: str
    low: float = math.nan
    high: float = math.nan
    backend: str = "torch"
    """Whose code answered: "reference", "torch", "triton", or another library."""
    dtype: str = "float32"
    device: str = ""
    """Empty: the processor of the machine that writes the row."""


COLUMNS: tuple[str, ...] = (
    *("question", "case", "dtype", "backend", "metric", "value", "low", "high", "unit"),
    *("device", "driver", "python", "torch", "triton", "commit"),
)
REQUIRED = ("question", "case", "dtype", "backend", "metric", "value", "unit", "device", "torch")


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    r"""Writes the rows, each with the device, the versions and the commit, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    here = {"driver": driver(), "python": platform.python_version(), "commit": commit()}
    here |= {package: version(package) for package in ("torch", "triton")}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            figures = {name: figure(getattr(row, name)) for name in ("value", "low", "high")}
            case = "; ".join(f"{name}={value}" for name, value in row.case.items())
            writer.writerow({**row._asdict(), **figures, **here, "case": case, "device": row.device or processor()})


def read_csv(path: Path) -> list[dict[str, str]]:
    r"""The rows of a file, with what stands in `case` as columns of their own: row["sampler"], row["calls"]."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return [row | dict(part.split("=", 1) for part in row["case"].split("; ")) for row in rows]


def figure(x: float) -> str:
    r"""Six digits are more than any of these measurements has; whole numbers are kept whole; NaN is nothing."""
    if math.isnan(x):
        return ""
    return str(int(x)) if float(x).is_integer() else f"{x:.6g}"


# ------------------------------------------------------------------------ where: no names of hosts or people


def processor() -> str:
    r"""The processor, how many cores it has here, and how many of them PyTorch uses."""
    return f"{processor_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} used"


def processor_name() -> str:
    r"""The processor's name, where the system tells it; its kind otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def version(package: str) -> str:
    r"""Without what builders append: "2.13.0+cpu" is 2.13.0. Empty if the package is not installed."""
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def driver() -> str:
    r"""The version of NVIDIA's driver; empty without one."""
    return output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").partition("\n")[0]


def commit() -> str:
    r"""The commit that is checked out; empty outside git."""
    return output_of("git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD")


def output_of(*command: str) -> str:
    r"""What a command prints; nothing if it does not exist or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
