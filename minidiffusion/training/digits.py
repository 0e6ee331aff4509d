r"""Training a denoiser of the 8 x 8 digits, in under a minute: small enough that its likelihood can be computed.

The network learns the variance of the reverse step as well: most pixels of a digit are paper for certain, others are
ink or paper, and a step that treats both alike wastes bits (`diffusion.bound`).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import PIL.Image
import torch
from torch import Tensor, nn

from minidiffusion.checkpoint import save_model
from minidiffusion.data.digits import GREYS, digits
from minidiffusion.diffusion import objective
from minidiffusion.diffusion.bound import discretised
from minidiffusion.diffusion.prediction import Kind, denoiser
from minidiffusion.diffusion.sampler import heun
from minidiffusion.diffusion.schedule import Name, make_schedule
from minidiffusion.networks.resnet import ResNet, ResNetConfig

from .loop import Recipe
from .sheet import picture_sheet


@dataclass(frozen=True)
class DigitsTraining:
    r"""Everything that decides how the denoiser of digits turns out."""

    recipe: Recipe = Recipe(steps=2500, batch=64, lr=2e-3, warmup=100, weight_decay=0.0, ema=0.998, log_every=50)
    model: ResNetConfig = ResNetConfig()
    schedule: Name = "sigmoid"
    T: int = 100
    prediction: Kind = "v"
    share: float = 0.1


class DigitsTask:
    r"""The denoiser of the 1,500 digits for training; the finished weights go to the folder `weights`."""

    def __init__(self, training: DigitsTraining, weights: Path):
        self.training, self.weights = training, weights
        self.settings = {"task": "digits", **asdict(training)}
        self.data = digits()[0]
        self.schedule = make_schedule(training.schedule, training.T)
        torch.manual_seed(training.recipe.seed)
        self.model = ResNet(training.model)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x_0 = self.data[indices]
        t = objective.draw_times("uniform", len(x_0), self.schedule.T, generator)
        eps = torch.randn(x_0.shape, generator=generator)
        device = next(model.parameters()).device
        losses = objective.hybrid(
            model,
            self.schedule,
            x_0.to(device),
            t.to(device),
            eps.to(device),
            self.training.prediction,
            discretised(GREYS),
            self.training.share,
        )
        return losses.mean(), {}

    def sheet(self, model: nn.Module) -> PIL.Image.Image:
        r"""64 digits, drawn from fixed noise."""
        x_T = torch.randn(64, *self.data.shape[1:], generator=torch.Generator().manual_seed(0))
        denoise = denoiser(model, self.schedule, self.training.prediction)
        *_, last = heun(denoise, x_T.to(next(model.parameters()).device), self.schedule.times(20))
        return picture_sheet(-last.x.repeat(1, 3, 1, 1), columns=16)

    def after_step(self) -> None:
        pass

    def save(self, folder: Path, model: nn.Module) -> None:
        save_model(self.weights, "digits", model, self.training.model, dtype=torch.float16)
