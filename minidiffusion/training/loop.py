r"""The training loop: one generator, read from top to bottom, that trains every network of this project.

A step $k$ is: draw indices, loss, backward, clip, optimizer, EMA, and now and then a log line, a sheet, a checkpoint.

**Exact resume.** All randomness of step $k$ comes from generators seeded with a hash of (seed, k, process), so there is
no state of a random number generator to save: weights, EMA, optimizer and $k$ are everything. A training killed at any
moment and resumed ends in the same bits as one that ran through, given the same number of threads
(`torch.get_num_threads()`; sums are split by thread, and floating-point sums depend on the order) and the CPU; on CUDA
some kernels add in an order of their own.

**More than one process.** Under `torchrun --nproc-per-node N` each process takes 1/N of the same global batch, and
DistributedDataParallel averages the gradients. Process 0 writes the files.

    for progress in train(task, recipe, folder):
        print(progress.step, progress.loss)
"""

import contextlib
import hashlib
import io
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minidiffusion.checkpoint import CheckpointError, explained, make_folder, write_atomically
from minidiffusion.errors import UserError

from .ema import EMA
from .optimizer import Optimizers, make_optimizers, warmup_cosine
from .resume import clear_leftovers, load_checkpoint, make_fingerprint, save_checkpoint
from .task import Recipe, Task, training_device


@dataclass(frozen=True)
class Progress:
    r"""What is known after a step."""

    step: int  # 1, 2, ..., recipe.steps: optimizer steps made so far
    loss: float
    numbers: dict[str, float]
    pictures_per_second: float
    seconds_left: float


def train(task: Task, recipe: Recipe, folder: str | os.PathLike, resume: bool = False) -> Iterator[Progress]:
    r"""Trains `task.model`, yielding a `Progress` after each step; whoever stops asking stops the training.

    The folder receives `log.jsonl`, `sheet_0001000.png`, the checkpoint `training.pt`, and at the end `summary.json`
    (how the network was made) and what `task.save` writes.
    `resume=True` goes on from the checkpoint (from the start when there is none yet).

    Raises `CheckpointError` for a folder with a checkpoint when `resume` is False, and for a checkpoint of another
    recipe or network; `UserError` for no pictures, for a batch that cannot be divided among the processes, and when the
    loss is no longer finite (the last checkpoint stays whole).
    """
    folder, device = Path(folder), training_device()
    checkpoint, log = folder / "training.pt", folder / "log.jsonl"
    with process_group(device) as (rank, world):
        if recipe.batch % world:
            raise UserError(f"batch must be a multiple of the number of processes, {world}, got {recipe.batch}.")
        if len(task.data) == 0:
            raise UserError("There are no pictures to train on.")
        if checkpoint.exists() and not resume:
            raise CheckpointError(f"{folder} already holds a training: resume it (--resume) or choose another folder.")

        task.model.to(device).train()
        ema = EMA(task.model, recipe.ema)
        optimizers = make_optimizers(task.model, recipe.lr, recipe.muon, recipe.weight_decay)
        fingerprint = make_fingerprint(task.model, recipe, task.settings, pictures=len(task.data), processes=world)
        start, seconds = 0, 0.0
        if checkpoint.exists():
            start, seconds = load_checkpoint(checkpoint, fingerprint, task.model, ema.model, optimizers)
        if rank == 0:
            make_folder(folder)
            clear_leftovers(folder, log, start)
        model = DistributedDataParallel(task.model) if world > 1 else task.model

        clock = time.perf_counter()
        for step in range(start, recipe.steps):
            loss, numbers, norm = optimize(task, model, optimizers, recipe, step, rank, world)
            task.after_step()
            ema.update(task.model, step)

            done = step + 1
            elapsed = time.perf_counter() - clock
            speed = recipe.batch * (done - start) / elapsed
            last = done == recipe.steps
            if rank == 0:
                if done % recipe.log_every == 0 or last:
                    times = {"pictures_per_second": round(speed, 1), "seconds": round(seconds + elapsed, 2)}
                    append_line(log, {"step": done, "loss": loss, **numbers, "gradient_norm": norm, **times})
                if recipe.sheet_every and (done % recipe.sheet_every == 0 or last):
                    write_sheet(task, ema.model, folder / f"sheet_{done:07d}.png")
                if done % recipe.save_every == 0 or last:  # after the log line and the sheet, which it vouches for
                    save_checkpoint(checkpoint, fingerprint, done, seconds + elapsed, task.model, ema.model, optimizers)
            yield Progress(done, loss, numbers, speed, (recipe.steps - done) * recipe.batch / speed)

        if rank == 0:
            task.save(folder, ema.model)
            summary = {"seconds": round(seconds + time.perf_counter() - clock), **json.loads(fingerprint)}
            write_atomically(folder / "summary.json", (json.dumps(summary) + "\n").encode())


def optimize(
    task: Task, model: nn.Module, optimizers: Optimizers, recipe: Recipe, step: int, rank: int, world: int
) -> tuple[float, dict[str, float], float]:
    r"""One step of the optimizers on this process's share of a random batch; model: the network, or DDP around it.

    Returns the loss over all processes, the other numbers of `task.loss`, and the norm of the gradient before it was
    clipped. Raises UserError, before any weight has changed, when loss or gradient are not finite.
    """
    indices = torch.randint(len(task.data), (recipe.batch,), generator=make_generator(recipe.seed, step))
    share = indices.chunk(world)[rank]
    torch.manual_seed(derive_seed(recipe.seed, step, f"layers {rank}"))  # for dropout inside the network
    with torch.autocast(training_device().type, torch.bfloat16, enabled=recipe.bf16):
        loss, numbers = task.loss(model, share, make_generator(recipe.seed, step, f"noise {rank}"))
    task.model.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(task.model.parameters(), recipe.clip_grad).item()
    mean = mean_over_processes(loss.detach(), world)
    if not math.isfinite(mean) or not math.isfinite(norm):
        raise UserError(
            f"The loss became {mean} (gradient norm {norm}) at step {step + 1}; "
            f"nothing was written over the last checkpoint. Try a smaller lr than {recipe.lr}."
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * warmup_cosine(step, recipe.steps, recipe.warmup)
        optimizer.step()
    return mean, numbers, norm


# ---------------------------------------------------------------------------------------------------- randomness


def derive_seed(seed: int, step: int, stream: str) -> int:
    r"""64 bits that depend on all three arguments; neighbouring steps get unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr((seed, step, stream)).encode(), digest_size=8).digest(), "big")


def make_generator(seed: int, step: int, stream: str = "indices") -> torch.Generator:
    r"""A new generator for one purpose in one step: nothing to save, nothing to restore."""
    return torch.Generator().manual_seed(derive_seed(seed, step, stream))


# ---------------------------------------------------------------------------------------------------- processes


GROUPS: list[Any] = []
"""The process groups of this process, kept to its end. DistributedDataParallel must not be the last that lets go of
one: it would wait for gloo's threads while it holds Python's lock, for which one of them may be waiting."""


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    r"""(rank, world): this process's number and how many there are, as `torchrun` says; (0, 1) without it."""
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


def append_line(log: Path, line: dict[str, Any]) -> None:
    with explained("write", log), log.open("a") as file:
        file.write(json.dumps(line) + "\n")


def write_sheet(task: Task, model: nn.Module, path: Path) -> None:
    with torch.no_grad():
        sheet = task.sheet(model)
    if sheet is not None:
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG")
        write_atomically(path, buffer.getvalue())
