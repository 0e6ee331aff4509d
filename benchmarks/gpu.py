r"""A GPU day in one command: the kernels' tests on the card, then the benchmarks, then the plot.

    make gpu                                           # needs a CUDA card
    python benchmarks/gpu.py --rehearse build/gpu      # anywhere: every step, with invented figures

Nothing is timed unless the tests pass on this card. The rows go to results/*-cuda.csv, the plot beside them. The
rehearsal takes the same steps on tiny inputs in Triton's interpreter, with an invented clock, into a folder of its own:
what breaks for reasons that have nothing to do with a GPU breaks there first.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
MISSING = (
    "make gpu needs a CUDA card, and PyTorch sees none on this machine; "
    "python benchmarks/gpu.py --rehearse build/gpu takes every step without one."
)


def tested(*which: str) -> None:
    r"""Runs these tests, compiled if there is a card. Ends the program if one fails."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *which], cwd=ROOT, env=environment)
    if done.returncode:
        raise SystemExit("The tests failed, so nothing was timed.")


def measured(rehearsing: bool, folder: Path) -> None:
    from benchmarks import attention, group_norm, unet  # only now: importing a kernel decides if it is interpreted
    from benchmarks.clock import Cuda, Rehearsal
    from benchmarks.plot import plot
    from benchmarks.sweep import sweep

    clock, seconds = (Rehearsal(), 0) if rehearsing else (Cuda(), 12)
    rows = sweep("attention", attention.REHEARSED if rehearsing else attention.SHAPES, clock, folder)
    rows += sweep("group_norm", group_norm.REHEARSED if rehearsing else group_norm.SHAPES, clock, folder)
    plot(rows, folder / f"kernels{clock.suffix}.png")
    unet.compare(clock, unet.REHEARSED if rehearsing else unet.for_this_card(), folder, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", type=Path, metavar="FOLDER", help="without a card; invented figures go there")
    folder = parser.parse_args().rehearse
    if folder:
        tested("-m", "gpu", "tests/kernels/test_gpu.py")
        os.environ["TRITON_INTERPRET"] = "1"
        measured(True, folder)
    elif torch.cuda.is_available():
        tested("-m", "gpu or kernel", "tests")
        measured(False, Path(__file__).parent / "results")
    else:
        raise SystemExit(MISSING)


if __name__ == "__main__":
    main()
