r"""The training loop: one generator, read from top to bottom, that trains every network of the house.

A step $k$ is: draw indices, loss, backward, clip, optimise, EMA, and now and then a log line, a sheet, a checkpoint.

**Exact resume.** All randomness of step $k$ comes from generators seeded with a hash of (seed, k, process), so there is
no state of a random number generator to save: weights, EMA, optimiser and $k$ are everything. A training killed at any
moment and resumed ends in the same bits as one that ran through, given the same number of threads
(`torch.get_num_threads()`; sums are split by thread, and floating-point sums depend on the order) and the CPU; on CUDA
some kernels add in an order of their own.

**More than one process.** Under `torchrun --nproc-per-node N` each process takes 1/N of the same global batch, and
DistributedDataParallel averages the gradients. Process 0 writes the files.

    for record in train(task, recipe, folder):
        print(record.step, record.loss)
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import PIL.Image
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from minidiffusion.checkpoint import CheckpointError, explained, make_folder, write_atomically
from minidiffusion.training.ema import EMA
from minidiffusion.training.optimizer import make_optimizers, rise_and_fall
from minidiffusion.training.resume import clear_leftovers, make_fingerprint, preserve, restore


@dataclass(frozen=True)
class Recipe:
    """How long, how fast and how often: everything of a training that is neither network nor data."""

    steps: int
    batch: int  # pictures a step, over all processes together
    lr: float  # the peak of AdamW's learning rate
    muon: float = 0.0  # the peak of Muon's, which then moves the hidden matrices; 0: AdamW moves everything
    bf16: bool = False  # compute in bfloat16, keep weights in float32: faster on GPUs and on CPUs made for it
    warmup: int = 200  # steps in which the learning rate climbs to its peak
    weight_decay: float = 0.01
    clip_grad: float = 1.0  # the longest gradient allowed
    ema: float = 0.999  # decay of the averaged weights; 0 keeps no average
    seed: int = 0
    save_every: int = 500
    sheet_every: int = 0  # 0: no sheets
    log_every: int = 10

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise ValueError(f"{field.name} must be a finite number, not {value!r}.")
        for name in ("steps", "batch", "lr", "clip_grad", "save_every", "log_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than 0, not {getattr(self, name)!r}.")
        for name in ("muon", "warmup", "weight_decay", "seed", "sheet_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)!r}.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and less than 1, not {self.ema!r}.")
        if self.warmup > self.steps:
            raise ValueError(f"warmup ({self.warmup}) must not be longer than the training ({self.steps} steps).")


@runtime_checkable
class Task(Protocol):
    """What is trained, and what for."""

    model: nn.Module
    """The network. The loop moves it to `training_device()`; frozen helpers are moved there by the task itself."""

    data: Sized
    """The pictures. The loop asks only for their number, `len(data)`."""

    settings: dict[str, Any]
    """What else must be the same when a training is resumed: the task's name, configs (dataclasses are fine), data."""

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The mean loss over the pictures `indices`, and other numbers for the log.

        Call `model(...)`, never `self.model` nor `model.encode(...)`: under DDP `model` is a wrapper that averages the
        gradients of what passed through its `forward`, and only of that, so one forward must use every parameter.
        Draw from `generator`, which lives on the CPU (the same numbers on every device), and move the noise.
        """
        ...

    def sheet(self, model: nn.Module) -> PIL.Image.Image | None:
        """A picture of how far `model` (the averaged weights, eval mode, no gradients) has come."""
        ...

    def after_step(self) -> None:
        """Called after each optimiser step, e.g. to clamp a temperature."""
        ...

    def save(self, folder: Path, model: nn.Module) -> None:
        """Writes the finished weights with `checkpoint.save_model`, to the training's `folder` or where they belong."""
        ...


@dataclass(frozen=True)
class Record:
    """What one step tells its caller."""

    step: int  # 1, 2, ..., recipe.steps: optimiser steps made so far
    loss: float
    numbers: dict[str, float]
    pictures_per_second: float
    seconds_left: float


def train(task: Task, recipe: Recipe, folder: str | os.PathLike, resume: bool = False) -> Iterator[Record]:
    r"""Trains `task.model`, yielding a `Record` after each step; whoever stops asking stops the training.

    The folder receives `log.jsonl`, `sheet_0001000.png`, the checkpoint `training.pt`, and at the end `summary.json`
    (how the network was made) and what `task.save` writes.
    `resume=True` goes on from the checkpoint (from the start when there is none yet).

    Raises `CheckpointError` for a folder with a checkpoint when `resume` is False, and for a checkpoint of another
    recipe or network; `ValueError` for a batch that the processes cannot share; `FloatingPointError` when the loss is
    no longer finite (the last checkpoint stays whole).
    """
    folder, device = Path(folder), training_device()
    checkpoint, log = folder / "training.pt", folder / "log.jsonl"
    with process_group(device) as (rank, world):
        if recipe.batch % world:
            raise ValueError(f"A batch of {recipe.batch} cannot be shared evenly by {world} processes.")
        if len(task.data) == 0:
            raise ValueError("There are no pictures to train on.")
        if checkpoint.exists() and not resume:
            raise CheckpointError(f"{folder} already holds a training: resume it (--resume) or choose another folder.")

        task.model.to(device).train()
        ema = EMA(task.model, recipe.ema)
        optimizers = make_optimizers(task.model, recipe.lr, recipe.muon, recipe.weight_decay)
        fingerprint = make_fingerprint(task.model, recipe, task.settings, pictures=len(task.data), processes=world)
        start, seconds = 0, 0.0
        if checkpoint.exists():
            start, seconds = restore(checkpoint, fingerprint, task.model, ema.model, optimizers)
        if rank == 0:
            make_folder(folder)
            clear_leftovers(folder, log, start)
        model = DistributedDataParallel(task.model) if world > 1 else task.model

        clock = time.perf_counter()
        for step in range(start, recipe.steps):
            indices = torch.randint(len(task.data), (recipe.batch,), generator=make_generator(recipe.seed, step))
            share = indices.chunk(world)[rank]
            torch.manual_seed(derive_seed(recipe.seed, step, f"layers {rank}"))  # for dropout inside the network
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
                loss, numbers = task.loss(model, share, make_generator(recipe.seed, step, f"noise {rank}"))

            task.model.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(task.model.parameters(), recipe.clip_grad)
            value = mean_over_processes(loss.detach(), world)
            if not math.isfinite(value) or not norm.isfinite():
                raise FloatingPointError(
                    f"The loss became {value} (gradient norm {norm.item()}) at step {step + 1}; "
                    f"nothing was written over the last checkpoint. Try a smaller lr than {recipe.lr}."
                )
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * rise_and_fall(step, recipe.steps, recipe.warmup)
                optimizer.step()
            task.after_step()
            ema.update(task.model, step)

            done = step + 1
            last = done == recipe.steps
            elapsed = time.perf_counter() - clock
            speed = recipe.batch * (done - start) / elapsed
            if rank == 0:
                if done % recipe.log_every == 0 or last:
                    numbers_of_step = {"loss": value, **numbers, "gradient_norm": norm.item()}
                    times = {"pictures_per_second": round(speed, 1), "seconds": round(seconds + elapsed, 2)}
                    append_line(log, {"step": done, **numbers_of_step, **times})
                if recipe.sheet_every and (done % recipe.sheet_every == 0 or last):
                    write_sheet(task, ema.model, folder / f"sheet_{done:07d}.png")
                if done % recipe.save_every == 0 or last:  # after the log line and the sheet, which it vouches for
                    preserve(checkpoint, fingerprint, done, seconds + elapsed, task.model, ema.model, optimizers)
            yield Record(done, value, numbers, speed, (recipe.steps - done) * recipe.batch / speed)

        if rank == 0:
            task.save(folder, ema.model)
            summary = {"seconds": round(seconds + time.perf_counter() - clock), **json.loads(fingerprint)}
            write_atomically(folder / "summary.json", (json.dumps(summary) + "\n").encode())


# ---------------------------------------------------------------------------------------------------- randomness


def derive_seed(seed: int, step: int, stream: str) -> int:
    """64 bits that depend on all three arguments; neighbouring steps get unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr((seed, step, stream)).encode(), digest_size=8).digest(), "big")


def make_generator(seed: int, step: int, stream: str = "indices") -> torch.Generator:
    """A fresh generator for one purpose in one step: nothing to save, nothing to restore."""
    return torch.Generator().manual_seed(derive_seed(seed, step, stream))


# ---------------------------------------------------------------------------------------------------- processes


def training_device() -> torch.device:
    """The GPU of this process when there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


GROUPS: list[Any] = []
"""The process groups of this process, kept to its end. DistributedDataParallel must not be the last that lets go of
one: it would wait for gloo's threads while it holds Python's lock, for which one of them may be waiting."""


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    """(rank, world): this process's number and how many there are, as `torchrun` says; (0, 1) without it."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield 0, 1
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    GROUPS.append(dist.group.WORLD)
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def mean_over_processes(loss: Tensor, world: int) -> float:
    if world > 1:
        dist.all_reduce(loss)
    return loss.item() / world


# ---------------------------------------------------------------------------------------------------- files


def append_line(log: Path, record: dict[str, Any]) -> None:
    with explained("write", log), log.open("a") as file:
        file.write(json.dumps(record) + "\n")


def write_sheet(task: Task, model: nn.Module, path: Path) -> None:
    with torch.no_grad():
        sheet = task.sheet(model)
    if sheet is not None:
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG")
        write_atomically(path, buffer.getvalue())


# ---------------------------------------------------------------------------------------------------- progress bar


def run_with_progress(records: Iterable[Record], steps: int, name: str = "training") -> Record | None:
    """Runs a training to its end under a progress bar; returns its last record (None when nothing was left to do)."""
    records = iter(records)
    first = next(records, None)  # before the bar is there: a training that is refused says why, and nothing else
    if first is None:
        return None
    hidden = int(os.environ.get("RANK", 0)) != 0
    pause = 0.5 if sys.stderr.isatty() else 30.0  # a bar redrawn twice a second would fill a log file
    options = {"desc": name, "unit": "step", "mininterval": pause, "maxinterval": 2 * pause, "disable": hidden}
    with tqdm(total=steps, initial=first.step - 1, **options) as bar:  # a resumed training starts where it was
        for record in chain([first], records):
            bar.update()
            speed = f"{record.pictures_per_second:.0f}"
            bar.set_postfix({"loss": f"{record.loss:.4f}", "pictures/s": speed}, refresh=False)
    return record
