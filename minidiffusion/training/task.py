r"""What is trained, and how: `Task`, the base of all trainings, and `Recipe`, how long and how fast."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sized
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import PIL.Image
import torch
from torch import Tensor, nn

from minidiffusion.checkpoint import save_model
from minidiffusion.errors import UserError

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Recipe:
    r"""How long, how fast and how often. Raises UserError for a value out of range."""

    steps: int
    batch: int  # pictures a step, over all processes together
    lr: float  # the peak of AdamW's learning rate
    muon: float = 0.0  # the peak of Muon's, which then updates the hidden matrices; 0: AdamW updates everything
    bf16: bool = False  # compute in bfloat16, keep weights in float32: faster on GPUs and on CPUs made for it
    warmup: int = 200  # steps in which the learning rate rises to its peak
    weight_decay: float = 0.01
    clip_grad: float = 1.0  # the largest norm of the gradient
    ema: float = 0.999  # decay of the averaged weights; 0 keeps no average
    seed: int = 0
    save_every: int = 500
    sheet_every: int = 0  # 0: no sheets
    log_every: int = 10

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise UserError(f"{field.name} must be finite, got {value}.")
        for name in ("steps", "batch", "lr", "clip_grad", "save_every", "log_every"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name} must be greater than 0, got {getattr(self, name)}.")
        for name in ("muon", "warmup", "weight_decay", "seed", "sheet_every"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be at least 0, got {getattr(self, name)}.")
        if not 0 <= self.ema < 1:
            raise UserError(f"ema must be at least 0 and less than 1, got {self.ema}.")
        if self.warmup > self.steps:
            raise UserError(f"warmup must be at most the number of steps, {self.steps}, got {self.warmup}.")


def training_device() -> torch.device:
    r"""The GPU of this process when there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


class Task(ABC, Generic[Network]):
    r"""A network, its data and its loss; how it is trained is the loop's business.

    A subclass must have a `name`, a `network` and a `loss`. training: a frozen dataclass with at least a `recipe` and a
    `model`, the config of the network. weights: the folder to which the trained network goes.
    """

    name: str
    """Of the files of the network, and of its folder under `training/`."""

    network: type[Network]
    """Its class, which takes the config."""

    model: Network
    """The network. The loop moves it to `device`; frozen helpers are moved there by the task itself."""

    training: Any

    data: Any
    """The pictures. The loop asks only for their number, `len(data)`."""

    settings: dict[str, Any]
    """What else must be the same when a training is resumed: the task's name, configs (dataclasses are fine), data."""

    def __init__(self, training: Any, data: Sized, weights: Path, config: Any = None):
        r"""config: of the network, where it is not `training.model`. The weights depend on the recipe's seed alone."""
        self.training, self.data, self.weights = training, data, weights
        self.config = training.model if config is None else config
        self.settings = {"task": self.name, **asdict(training)}
        torch.manual_seed(training.recipe.seed)
        self.model = self.network(self.config)

    @cached_property
    def device(self) -> torch.device:
        return training_device()

    @abstractmethod
    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        r"""The mean loss over the pictures `indices`, and other numbers for the log.

        Call `model(...)`, never `self.model` nor `model.encode(...)`: under DDP `model` is a wrapper that averages the
        gradients of what passed through its `forward`, and only of that, so one forward must use every parameter.
        Draw from `generator`, which lives on the CPU (the same numbers on every device), and move the noise.
        """

    def sheet(self, model: Network) -> PIL.Image.Image | None:
        r"""Samples of `model` (the averaged weights, eval mode, no gradients) as one picture; None is no sheet."""

    def after_step(self) -> None:
        r"""Called after each optimizer step, e.g. to clamp a temperature."""

    def save(self, folder: Path, model: Network) -> None:
        r"""Write the trained weights where they belong; `folder` is that of the training's log."""
        save_model(self.weights, self.name, model, self.config, dtype=torch.float16)
