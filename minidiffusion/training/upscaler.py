r"""Training the upscaler: pages of the picture book, and the same pages drawn with twice the pixels.

    loss = | upscale(x) - x_large |

What will be enlarged are pictures that the model drew, and these come out of the VAE's decoder, with its faults. So
half of the small pictures take that way as well, and the upscaler learns to mend what the decoder spoils. It is shown
crops: it looks only a few pixels far, and a crop has all that it can learn from.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import PIL.Image
import torch
from torch import Tensor, nn

from minidiffusion.checkpoint import load_model, save_model
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.upscaler import Upscaler, UpscalerConfig
from minidiffusion.picturebook.dataset import PictureBook

from minidiffusion.training.loop import Recipe, training_device
from minidiffusion.images.grid import picture_sheet


@dataclass(frozen=True)
class UpscalerTraining:
    r"""Everything that decides how the upscaler turns out."""

    recipe: Recipe = Recipe(
        steps=3000, batch=16, lr=1e-3, muon=0.005, warmup=100, ema=0.998, save_every=250, sheet_every=1000
    )
    model: UpscalerConfig = UpscalerConfig()
    pages: int = 6000
    """Of the book; a large page takes 48 kB on the disk."""
    crop: int = 32


class UpscalerTask:
    r"""The upscaler on the pages of `data`. `weights` holds the trained VAE, and receives the upscaler."""

    def __init__(self, training: UpscalerTraining, data: PictureBook, weights: Path):
        self.training, self.weights = training, weights
        pages = min(len(data), training.pages)
        self.data = PictureBook(pages, data.seed, data.split)
        self.large = PictureBook(pages, data.seed, data.split, scale=2)
        self.settings = {"task": "upscaler", **asdict(training)}
        self.device = training_device()
        self.vae = load_model(weights, "vae", VAEConfig, AutoencoderKL).to(self.device)
        torch.manual_seed(training.recipe.seed)
        self.model = Upscaler(training.model)

    @torch.no_grad()
    def rebuilt(self, x: Tensor) -> Tensor:
        r"""What the VAE makes of pictures."""
        return self.vae.decode(self.vae.encode(x).mode()).clamp(-1, 1)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x, large = self.data.pictures(indices).to(self.device), self.large.pictures(indices).to(self.device)
        half = len(x) // 2
        x = torch.cat([self.rebuilt(x[:half]), x[half:]])
        side = self.training.crop
        top, left = torch.randint(x.shape[-1] - side + 1, (2,), generator=generator).tolist()
        x = x[..., top : top + side, left : left + side]
        large = large[..., 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
        difference = model(x) - large
        mse = difference.detach().square().flatten(1).mean(dim=1)
        psnr = 10 * (4 / mse).log10()  # pictures span [-1, 1]: the peak is 2, its square 4
        return difference.abs().mean(), {"psnr_rebuilt": psnr[:half].mean().item(), "psnr": psnr[half:].mean().item()}

    def sheet(self, model: nn.Module) -> PIL.Image.Image:
        r"""Rows of pages: small ones enlarged by the VAE and the upscaler, and drawn large."""
        indices = torch.arange(8) % len(self.data)
        enlarged = model(self.rebuilt(self.data.pictures(indices).to(self.device)))
        return picture_sheet(torch.cat([enlarged, self.large.pictures(indices).to(self.device)]), columns=8)

    def after_step(self) -> None:
        pass

    def save(self, folder: Path, model: nn.Module) -> None:
        save_model(self.weights, "upscaler", model, self.training.model, dtype=torch.float16)
