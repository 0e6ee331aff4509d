r"""Training the judge: what is in this picture? It sees real renders only, and never a held-out combination."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from minidiffusion.checkpoint import save_model
from minidiffusion.networks.judge import Judge, JudgeConfig, judge_loss
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES

from .loop import Recipe


@dataclass(frozen=True)
class JudgeTraining:
    r"""Everything that decides how the judge turns out."""

    recipe: Recipe = Recipe(steps=3000, batch=64, lr=1e-3, warmup=100, weight_decay=0.05, ema=0.998, save_every=250)
    model: JudgeConfig = JudgeConfig({name: len(values) for name, values in ATTRIBUTES.items()})


class JudgeTask:
    r"""The judge on the labelled pictures of `data`; the finished weights go to the folder `weights`."""

    def __init__(self, training: JudgeTraining, data: PictureBook, weights: Path):
        self.training, self.data, self.weights = training, data, weights
        self.settings = {"task": "judge", **asdict(training)}
        torch.manual_seed(training.recipe.seed)
        self.model = Judge(training.model)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        return judge_loss(model(self.data.pictures(indices).to(device)), self.data.labels[indices].to(device))

    def sheet(self, model: nn.Module) -> None:
        return None

    def after_step(self) -> None:
        pass

    def save(self, folder: Path, model: nn.Module) -> None:
        save_model(self.weights, "judge", model, self.training.model, dtype=torch.float16)
