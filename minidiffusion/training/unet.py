r"""Training the denoiser on latents and captions: the latent diffusion model (article 3.1; Rombach et al. 2022).

    picture --VAE--> x_0,    caption --CLIP--> tokens,    t ~ draw_times,  eps ~ N(0, I)
    loss = weight(t) | target(x_0, eps, t) - unet(alpha_t x_0 + sigma_t eps, t, tokens) |^2

VAE and CLIP are trained before and stay frozen, so every picture is encoded once, before the first step. A tenth of the
captions is replaced by the empty one: so the network learns the unconditional distribution too, which guidance needs.

A network that has only seen squares draws two houses side by side when the picture is wide. So some steps show pages of
other shapes; all pictures of one step have the same shape, and the larger they are, the fewer.
"""

from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import torch
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.checkpoint import load_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.data.captioned import CaptionedPictures
from minidiffusion.diffusion import objective
from minidiffusion.diffusion.prediction import PredictionType
from minidiffusion.diffusion.schedule import ScheduleName, make_schedule
from minidiffusion.errors import UserError
from minidiffusion.images.grid import picture_sheet
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained.weights import write_index
from minidiffusion.prompt.parser import plain

from .progress import chunks
from .task import Recipe, Task


@dataclass(frozen=True)
class UNetTraining:
    r"""The settings of the denoiser's training."""

    recipe: Recipe = Recipe(
        steps=8_000,
        batch=96,
        lr=3e-3,
        muon=0.01,
        bf16=True,
        warmup=250,
        ema=0.999,
        save_every=500,
        sheet_every=1000,
        log_every=100,
    )
    model: UNetConfig = UNetConfig()
    schedule: ScheduleName = "cosine"
    T: int = 1000
    prediction: PredictionType = "v"
    weighting: objective.Weighting = "simple"
    times: objective.TimestepSampling = "noisier"
    caption_dropout: float = 0.1
    shapes: tuple[tuple[int, int], ...] = ((96, 64), (64, 96), (128, 64), (64, 128))
    """Width and height of pages that are not square; of other collections there are only squares."""
    other_shapes: float = 0.2
    """The share of steps that show them."""
    pages: int = 10_000
    """Of each of these shapes."""


class UNetTask(Task[UNet]):
    r"""The denoiser on the latents of `data`. The folder of weights holds the trained VAE, CLIP and tokenizer."""

    name, network = "unet", UNet

    def __init__(self, training: UNetTraining, data: CaptionedPictures, weights: Path):
        self.tokenizer = Tokenizer.load(weights / "tokenizer.json")
        self.clip = load_model(weights, "clip", CLIPConfig, CLIP).to(self.device)
        self.vae = load_model(weights, "vae", VAEConfig, AutoencoderKL).to(self.device)
        super().__init__(training, data, weights)
        self.pipeline(self.model)  # refuses networks that do not fit, before pictures are encoded
        self.schedule = make_schedule(training.schedule, training.T)
        self.latents = [encode_all(self.vae, data, self.device)]
        if isinstance(data, PictureBook) and training.other_shapes > 0:
            pages = min(len(data), training.pages)
            for width, height in training.shapes:
                book = PictureBook(pages, data.seed, data.split, width=width, height=height)  # the same scenes
                self.latents.append(encode_all(self.vae, book, self.device))

    def pipeline(self, model: UNet) -> TextToImage:
        noise = (self.training.schedule, self.training.T, self.training.prediction)
        return TextToImage(self.tokenizer, self.clip, model, self.vae, *noise)

    @torch.no_grad()
    def context(self, captions: list[str]) -> Float[Tensor, "b n d"]:
        ids = self.tokenizer(captions, self.clip.config.context_length).to(self.device)
        return self.clip.text_model(ids)[0]

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        latents = self.latents[self.shape_of_step(generator)]
        b = len(indices) * self.latents[0][0].numel() // latents[0].numel()  # every step costs the same
        indices = indices[:b] % len(latents)
        x_0 = latents[indices]
        dropped = torch.rand(b, generator=generator) < self.training.caption_dropout
        captions = self.data.captions(indices, generator)
        context = self.context(["" if drop else text for text, drop in zip(captions, dropped, strict=True)])
        t = objective.draw_times(self.training.times, b, self.schedule.T, generator)
        eps = torch.randn(x_0.shape, generator=generator)
        losses = objective.loss(
            lambda x_t, t: model(x_t, t, context),
            self.schedule,
            x_0.to(self.device),
            t.to(self.device),
            eps.to(self.device),
            self.training.prediction,
            self.training.weighting,
        )
        return losses.mean(), {}

    def shape_of_step(self, generator: torch.Generator) -> int:
        r"""0, the square, or with probability `other_shapes` one of the others."""
        others = len(self.latents) - 1
        which, other = torch.rand(2, generator=generator).tolist()
        return 1 + int(other * others) if others and which < self.training.other_shapes else 0

    def sheet(self, model: UNet) -> PIL.Image.Image:
        r"""Samples for 32 captions of the data, with guidance 3 and fixed seeds."""
        captions = self.data.captions(torch.arange(32) % len(self.data), torch.Generator().manual_seed(0))
        prompts = [plain(caption[:1000]) for caption in captions]  # of which CLIP reads the first words
        return picture_sheet(self.pipeline(model).generate(prompts, range(32), steps=20, guidance=3.0), columns=8)

    def save(self, folder: Path, model: UNet) -> None:
        super().save(folder, model)
        write_index(self.weights, self.training.schedule, self.training.T, self.training.prediction)


@torch.no_grad()
def encode_all(vae: AutoencoderKL, data: CaptionedPictures, device: torch.device) -> Float[Tensor, "n c h w"]:
    r"""The scaled latents of all pictures, on the CPU. Their standard deviation must be near 1.

    Raises UserError if it is not: the schedule's signal-to-noise ratios are those of data with unit variance.
    """
    parts = chunks(len(data), "encoding pictures")
    means = [vae.encode(data.pictures(indices).to(device)).mode().cpu() for indices in parts]
    latents = vae.config.scaling_factor * torch.cat(means)
    if not 0.8 < latents.std() < 1.2:
        raise UserError(f"The standard deviation of the scaled latents must be near 1, got {latents.std():.3f}.")
    return latents
