r"""Training the upscaler: pages of the picture book, and the same pages drawn with twice the pixels.

    loss = | upscale(x) - x_large |

Generated pictures come out of the VAE's decoder, with its artefacts. So half of the small pictures are reconstructed by
the VAE first, and the upscaler learns to remove the artefacts as well. It is trained on crops: its receptive field is a
few pixels, and a crop holds all that it can learn from.
"""

from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import torch
from torch import Tensor, nn

from minidiffusion.checkpoint import load_model
from minidiffusion.images.grid import picture_sheet
from minidiffusion.images.pixels import psnr
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.upscaler import Upscaler, UpscalerConfig
from minidiffusion.picturebook.dataset import PictureBook

from .task import Recipe, Task


@dataclass(frozen=True)
class UpscalerTraining:
    r"""The settings of the upscaler's training."""

    recipe: Recipe = Recipe(
        steps=3000, batch=16, lr=1e-3, muon=0.005, warmup=100, ema=0.998, save_every=250, sheet_every=1000
    )
    model: UpscalerConfig = UpscalerConfig()
    pages: int = 6000
    """Of the book; a large page takes 48 kB on the disk."""
    crop: int = 32


class UpscalerTask(Task[Upscaler]):
    r"""The upscaler on the pages of `data`. The folder of weights holds the trained VAE."""

    name, network = "upscaler", Upscaler

    def __init__(self, training: UpscalerTraining, data: PictureBook, weights: Path):
        pages = min(len(data), training.pages)
        self.large = PictureBook(pages, data.seed, data.split, scale=2)
        self.vae = load_model(weights, "vae", VAEConfig, AutoencoderKL).to(self.device)
        super().__init__(training, PictureBook(pages, data.seed, data.split), weights)

    @torch.no_grad()
    def reconstructed(self, x: Tensor) -> Tensor:
        r"""The VAE's reconstruction of pictures."""
        return self.vae.decode(self.vae.encode(x).mode()).clamp(-1, 1)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x, large = self.data.pictures(indices).to(self.device), self.large.pictures(indices).to(self.device)
        half = len(x) // 2
        x = torch.cat([self.reconstructed(x[:half]), x[half:]])
        side = self.training.crop
        top, left = torch.randint(x.shape[-1] - side + 1, (2,), generator=generator).tolist()
        x = x[..., top : top + side, left : left + side]
        large = large[..., 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
        upscaled = model(x)
        decibels = psnr(upscaled.detach(), large)
        numbers = {"psnr_rebuilt": decibels[:half].mean().item(), "psnr": decibels[half:].mean().item()}
        return (upscaled - large).abs().mean(), numbers

    def sheet(self, model: Upscaler) -> PIL.Image.Image:
        r"""Two rows of pages: reconstructed by the VAE and upscaled, and drawn large."""
        indices = torch.arange(8) % len(self.data)
        enlarged = model(self.reconstructed(self.data.pictures(indices).to(self.device)))
        return picture_sheet(torch.cat([enlarged, self.large.pictures(indices).to(self.device)]), columns=8)
