r"""Progress bars: of a training, and of what is computed before it."""

import os
import sys
from collections.abc import Iterable
from itertools import chain

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from .loop import Progress


def run_with_progress(training: Iterable[Progress], steps: int, name: str = "training") -> Progress | None:
    r"""Runs a training to its end under a progress bar; returns its last `Progress` (None if no step was left)."""
    training = iter(training)
    first = next(training, None)  # before the bar is there: a training that is refused says why, and nothing else
    if first is None:
        return None
    hidden = int(os.environ.get("RANK", 0)) != 0
    pause = 0.5 if sys.stderr.isatty() else 30.0  # a bar redrawn twice a second would fill a log file
    options = {"desc": name, "unit": "step", "mininterval": pause, "maxinterval": 2 * pause, "disable": hidden}
    with tqdm(total=steps, initial=first.step - 1, **options) as bar:  # a resumed training starts where it was
        for progress in chain([first], training):
            bar.update()
            speed = f"{progress.pictures_per_second:.0f}"
            bar.set_postfix({"loss": f"{progress.loss:.4f}", "pictures/s": speed}, refresh=False)
    return progress


def chunks(n: int, title: str) -> Iterable[Int[Tensor, "b"]]:
    r"""The indices of n pictures, at most 64 at a time, under a progress bar."""
    return tqdm(torch.arange(n).split(64), title, unit_scale=64, unit="picture", mininterval=5)
