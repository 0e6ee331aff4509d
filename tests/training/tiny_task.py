"""A training of milliseconds; and as a script, a nursery that imports torch once and forks processes that train it."""

import dataclasses
import json
import os
import sys

import torch
from PIL import Image
from torch import nn

from minidiffusion.checkpoint import save_model
from minidiffusion.training.loop import train
from minidiffusion.training.optimizer import make_optimizers
from minidiffusion.training.task import Recipe, Task


@dataclasses.dataclass(frozen=True)
class TinyConfig:
    width: int = 8


class TinyNetwork(nn.Module):
    def __init__(self, config: TinyConfig, noisy: bool = True):
        super().__init__()
        self.table = nn.Embedding(4, config.width)
        self.linear = nn.Linear(3, config.width)
        # Dropout draws from the global generator and batch norm has buffers: both must survive a kill.
        self.noisy = nn.Sequential(nn.Dropout(0.2), nn.BatchNorm1d(config.width)) if noisy else nn.Identity()
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 1)

    def forward(self, x, kind):
        return self.head(self.norm(self.noisy(self.linear(x) + self.table(kind))))[:, 0]


class TinyTask(Task[TinyNetwork]):
    """Predicts the sum of three numbers; `noisy=False` draws nothing from any generator."""

    def __init__(self, noisy: bool = True, width: int = 8):
        torch.manual_seed(7)
        self.config = TinyConfig(width)
        self.model = TinyNetwork(self.config, noisy)
        self.data = torch.randn(50, 3)
        self.settings = {"task": "tiny", "config": self.config}
        self.noisy = noisy
        self.seen = []  # (indices, noise) of every step

    def loss(self, model, indices, generator):
        noise = torch.randn(len(indices), 3, generator=generator)
        self.seen.append((indices, noise))
        x = self.data[indices]
        error = (model(x + 0.1 * noise if self.noisy else x, indices % 4) - x.sum(dim=1)).abs()
        return error.square().mean(), {"worst": error.max().item(), "pictures": float(len(indices))}

    def sheet(self, model):
        assert not model.training and not torch.is_grad_enabled()
        grey = int(model.head.bias.item() * 1e4) % 256
        return Image.new("L", (2, 2), grey)

    def save(self, folder, model):
        save_model(folder, "tiny", model, self.config)


def main() -> None:
    """For each job, a line of JSON on stdin: forks a child that trains. {"wait": child} asks how a child ended."""
    # The first optimiser of a process imports half of torch, which the children need not do again.
    make_optimizers(TinyTask().model, lr=1.0, muon=0.0, weight_decay=0.0)
    tell(ready=1)
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            _, status = os.waitpid(job["wait"], 0)
            tell(ended=os.waitstatus_to_exitcode(status))
            continue
        child = os.fork()
        if child:
            tell(child=child)
            continue
        os.environ |= job.get("environment", {})
        for progress in train(TinyTask(**job["task"]), Recipe(**job["recipe"]), job["folder"], resume=True):
            tell(step=progress.step)
        os._exit(0)


def tell(**message: int) -> None:
    print("\n" + json.dumps(message), flush=True)  # the line before may be one that a kill has torn


if __name__ == "__main__":
    main()
