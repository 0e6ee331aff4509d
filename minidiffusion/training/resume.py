r"""Checkpoints: a training that was killed goes on as if nothing had happened.

The checkpoint is one file with all that step $k+1$ depends on: the weights, their average, the optimizer's moments,
$k$, and a *fingerprint* of the training. It is written whole or not at all (`checkpoint.write_atomically`), so a
kill loses at most the steps since the last one. Those are then made again, bit for bit, and with them their lines of
the log.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from torch import nn

from minidiffusion.checkpoint import CheckpointError, load_state, save_state, write_atomically

from .optimizer import Optimizers


def make_fingerprint(model: nn.Module, recipe: Any, settings: dict[str, Any], **facts: int) -> str:
    r"""JSON of everything that must be the same for a resumed training to be the same training."""
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    return json.dumps({"recipe": recipe, "settings": settings, **facts, "shape": shapes}, default=dataclasses.asdict)


def save_checkpoint(
    path: Path, fingerprint: str, step: int, seconds: float, model: nn.Module, ema: nn.Module, optimizers: Optimizers
) -> None:
    state = {"fingerprint": fingerprint, "step": step, "seconds": seconds}
    moments = [optimizer.state_dict() for optimizer in optimizers]
    save_state(path, state | {"model": model.state_dict(), "ema": ema.state_dict(), "optimizers": moments})


def load_checkpoint(
    path: Path, fingerprint: str, model: nn.Module, ema: nn.Module, optimizers: Optimizers
) -> tuple[int, float]:
    r"""Loads what `save_checkpoint` wrote into the two networks and the optimizers; returns (step, seconds).

    Raises `CheckpointError` when the file is damaged, or belongs to a training with another fingerprint; the sentence
    names what differs.
    """
    state = load_state(path)
    try:
        changes = differences(json.loads(state["fingerprint"]), json.loads(fingerprint))
        if not changes:
            model.load_state_dict(state["model"])
            ema.load_state_dict(state["ema"])
            for optimizer, moments in zip(optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(moments)
            return int(state["step"]), float(state["seconds"])
    except Exception as error:  # a file of the right kind with the wrong contents: not one of ours
        raise CheckpointError(f"{path} is not a checkpoint of this loop ({type(error).__name__}: {error}).") from error
    more = f"; and {len(changes) - 5} more" if len(changes) > 5 else ""
    raise CheckpointError(
        f"{path} belongs to another training: {'; '.join(changes[:5])}{more}. Set that back, or choose another folder."
    )


def differences(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    r"""["recipe.lr was 0.001, is now 0.01", ...] for two nested dicts."""
    changes = []
    for name in {**was, **now}:
        old, new = was.get(name, "absent"), now.get(name, "absent")
        if isinstance(old, dict) and isinstance(new, dict):
            changes += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            changes.append(f"{prefix}{name} was {old}, is now {new}")
    return changes


def clear_leftovers(folder: Path, log: Path, step: int) -> None:
    r"""Removes what a killed run left behind: half-written temporary files, and the log's lines after `step`."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    try:
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        # Only the last line can be torn, and it belongs to a step that no checkpoint vouches for.
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{log} is damaged ({error}): move it away to go on without it.") from error
    write_atomically(log, "".join(kept).encode())
