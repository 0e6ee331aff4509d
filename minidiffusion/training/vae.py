r"""Training the autoencoder: pictures in, the same pictures out (article 2.2).

    loss = |x - x_hat|^2 + l1 |x - x_hat| + kl_weight * KL(q(z | x) || N(0, I)) / (number of pixels)

The squared error is the Gaussian log-likelihood and what PSNR measures; a little absolute error keeps edges crisp,
which squares blur. The KL term is small: it is there to keep the latents in one cloud and to make the decoder forgive
small errors, which the diffusion model will make.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import PIL.Image
import torch
from torch import Tensor, nn

from minidiffusion.checkpoint import save_model
from minidiffusion.data.captioned import CaptionedPictures
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig

from minidiffusion.training.loop import Recipe
from minidiffusion.images.grid import picture_sheet


@dataclass(frozen=True)
class VAETraining:
    r"""Everything that decides how the autoencoder turns out."""

    recipe: Recipe = Recipe(steps=2000, batch=32, lr=1e-3, warmup=100, ema=0.998, save_every=250, sheet_every=500)
    model: VAEConfig = VAEConfig()
    l1: float = 0.1
    kl_weight: float = 1e-4


class VAETask:
    r"""The autoencoder on the pictures of `data`; the finished weights go to the folder `weights`."""

    def __init__(self, training: VAETraining, data: CaptionedPictures, weights: Path):
        self.training, self.data, self.weights = training, data, weights
        self.settings = {"task": "vae", **asdict(training)}
        torch.manual_seed(training.recipe.seed)
        self.model = AutoencoderKL(training.model).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if training.model.linear_path:
            self.model.start_linear_path(data.pictures(torch.arange(min(2048, len(data)))))

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x = self.data.pictures(indices).to(next(model.parameters()).device)
        x_hat, posterior = model(x, generator)
        mse = (x_hat - x).square().mean()
        l1 = (x_hat - x).abs().mean()
        kl = posterior.kl().mean()
        loss = mse + self.training.l1 * l1 + self.training.kl_weight * kl / x[0].numel()
        psnr = 10 * (4 / mse.detach()).log10()  # pictures span [-1, 1]: the peak is 2, its square 4
        return loss, {"psnr": psnr.item(), "kl": kl.item()}

    def sheet(self, model: nn.Module) -> PIL.Image.Image:
        assert isinstance(model, AutoencoderKL)
        x = self.data.pictures(torch.arange(16) % len(self.data)).to(next(model.parameters()).device)
        return picture_sheet(torch.cat([x, model.decode(model.encode(x).mode())]), columns=16)

    def after_step(self) -> None:
        pass

    @torch.no_grad()
    def save(self, folder: Path, model: nn.Module) -> None:
        r"""Measures the latents' standard deviation, so that diffusion gets latents of unit variance, then saves."""
        assert isinstance(model, AutoencoderKL)
        x = self.data.pictures(torch.arange(min(2048, len(self.data))))
        device = next(model.parameters()).device
        latents = torch.cat([model.encode(part.to(device)).mode() for part in x.split(64)])
        config = replace(self.training.model, scaling_factor=1 / latents.std().item())
        save_model(self.weights, "vae", model, config, dtype=torch.float16)
