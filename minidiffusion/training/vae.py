r"""Training the autoencoder: pictures in, the same pictures out (article 2.2).

    loss = |x - x_hat|^2 + l1 |x - x_hat| + kl_weight * KL(q(z | x) || N(0, I)) / (number of pixels)

The squared error is the Gaussian log-likelihood and what PSNR measures; a little absolute error keeps edges sharp,
which the squared error blurs. The KL term is small: it keeps the latents bounded, and makes the decoder robust against
small errors, which the diffusion model will make.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import PIL.Image
import torch
from torch import Tensor, nn

from minidiffusion.data.captioned import CaptionedPictures
from minidiffusion.images.grid import picture_sheet
from minidiffusion.images.pixels import psnr
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig

from .task import Recipe, Task


@dataclass(frozen=True)
class VAETraining:
    r"""The settings of the autoencoder's training."""

    recipe: Recipe = Recipe(steps=2000, batch=32, lr=1e-3, warmup=100, ema=0.998, save_every=250, sheet_every=500)
    model: VAEConfig = VAEConfig()
    l1: float = 0.1
    kl_weight: float = 1e-4


class VAETask(Task[AutoencoderKL]):
    r"""The autoencoder."""

    name, network = "vae", AutoencoderKL

    def __init__(self, training: VAETraining, data: CaptionedPictures, weights: Path):
        super().__init__(training, data, weights)
        self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if training.model.linear_path:
            self.model.start_linear_path(data.pictures(torch.arange(min(2048, len(data)))))

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x = self.data.pictures(indices).to(self.device)
        x_hat, posterior = model(x, generator)
        mse = (x_hat - x).square().mean()
        l1 = (x_hat - x).abs().mean()
        kl = posterior.kl().mean()
        loss = mse + self.training.l1 * l1 + self.training.kl_weight * kl / x[0].numel()
        return loss, {"psnr": psnr(x_hat[None], x[None]).item(), "kl": kl.item()}  # of the batch as one picture

    def sheet(self, model: AutoencoderKL) -> PIL.Image.Image:
        x = self.data.pictures(torch.arange(16) % len(self.data)).to(self.device)
        return picture_sheet(torch.cat([x, model.decode(model.encode(x).mode())]), columns=16)

    @torch.no_grad()
    def save(self, folder: Path, model: AutoencoderKL) -> None:
        r"""Measures the latents' standard deviation, so that diffusion gets latents of unit variance, then saves."""
        x = self.data.pictures(torch.arange(min(2048, len(self.data))))
        latents = torch.cat([model.encode(part.to(self.device)).mode() for part in x.split(64)])
        self.config = replace(self.training.model, scaling_factor=1 / latents.std().item())
        super().save(folder, model)
