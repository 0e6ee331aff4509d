r"""Training a denoiser of the 8 x 8 digits, in under a minute: small enough that its likelihood can be computed.

The network learns the variance of the reverse step as well: most pixels of a digit are white for certain, others are
black or white, and a step with one variance for both wastes bits (`diffusion.bound`).
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import PIL.Image
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.checkpoint import check_hashes, file_hash, load_config, load_model, write_atomically
from minidiffusion.data.digits import GREY_LEVELS
from minidiffusion.diffusion import objective
from minidiffusion.diffusion.bound import discretised
from minidiffusion.diffusion.prediction import Prediction, PredictionType, denoiser
from minidiffusion.diffusion.sampler import heun
from minidiffusion.diffusion.schedule import Schedule, ScheduleName, make_schedule
from minidiffusion.images.grid import picture_sheet
from minidiffusion.networks.resnet import ResNet, ResNetConfig

from .task import Recipe, Task


@dataclass(frozen=True)
class DigitsTraining:
    r"""The settings of the training."""

    recipe: Recipe = Recipe(
        steps=3500, batch=64, lr=6e-3, warmup=100, weight_decay=0.0, ema=0.998, log_every=100, sheet_every=3500
    )
    model: ResNetConfig = ResNetConfig()
    schedule: ScheduleName = "sigmoid"
    T: int = 100
    prediction: PredictionType = "v"
    share: float = 0.1
    """The weight of the variational bound beside the simple loss (`objective.hybrid`)."""


SHIPPED = Path(__file__).parents[1] / "weights" / "digits"
FILES = ("digits.json", "digits.safetensors")


@dataclass(frozen=True)
class DigitsIndex:
    r"""model.json: which noise the network was trained against, and the hashes of its files."""

    schedule: ScheduleName
    T: int
    prediction: PredictionType
    sha256: dict[str, str]


def trained_digits(folder: Path = SHIPPED) -> tuple[Callable[[Tensor, Tensor], Prediction], Schedule]:
    r"""(the trained denoiser, its schedule), as shipped or from the folder of a training.

    Raises CheckpointError for files that are missing, damaged or from another training.
    """
    index = load_config(folder / "model.json", DigitsIndex)
    check_hashes(folder / "model.json", index.sha256, FILES)
    network = load_model(folder, "digits", ResNetConfig, ResNet).requires_grad_(False)
    schedule = make_schedule(index.schedule, index.T)
    return denoiser(network, schedule, index.prediction), schedule


class DigitsTask(Task[ResNet]):
    r"""The denoiser of `data`, pictures of digits."""

    name, network = "digits", ResNet

    def __init__(self, training: DigitsTraining, data: Float[Tensor, "n 1 8 8"], weights: Path):
        super().__init__(training, data, weights)
        self.schedule = make_schedule(training.schedule, training.T)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x_0 = self.data[indices]
        t = objective.draw_times("uniform", len(x_0), self.schedule.T, generator)
        eps = torch.randn(x_0.shape, generator=generator)
        losses = objective.hybrid(
            model,
            self.schedule,
            x_0.to(self.device),
            t.to(self.device),
            eps.to(self.device),
            self.training.prediction,
            discretised(GREY_LEVELS),
            self.training.share,
        )
        return losses.mean(), {}

    def sheet(self, model: ResNet) -> PIL.Image.Image:
        r"""64 samples, black on white, from fixed noise."""
        x_T = torch.randn(64, *self.data.shape[1:], generator=torch.Generator().manual_seed(0))
        denoise = denoiser(model, self.schedule, self.training.prediction)
        *_, last = heun(denoise, x_T.to(self.device), self.schedule.times(20))
        framed = F.pad(-last.x, (1, 1, 1, 1), value=1.0)
        return picture_sheet(framed.repeat(1, 3, 1, 1), columns=16).resize((960, 240), PIL.Image.Resampling.NEAREST)

    def save(self, folder: Path, model: ResNet) -> None:
        super().save(folder, model)
        sha256 = {name: file_hash(self.weights / name) for name in FILES}
        index = DigitsIndex(self.training.schedule, self.training.T, self.training.prediction, sha256)
        write_atomically(self.weights / "model.json", (json.dumps(asdict(index), indent=2) + "\n").encode())
