r"""Training the picture tokenizer: pictures in, 64 whole numbers, the same pictures out (article 6.1).

    loss = |x - x_hat|^2 + l1 |x - x_hat| + codes_weight (|sg[z] - e|^2 + beta |z - sg[e]|^2)
           + perception (1 - cos(CLIP(x), CLIP(x_hat)))

The reconstruction loss is that of the VAE. The loss of the codes, van den Oord's (latent/vq.py), is a mean over d
numbers that stand for the 192 of a patch: at weight 1 it outweighs the pixels, and the encoder learns to agree with its
codes before it learns to reconstruct.

12 bits cannot describe a patch, so something must be lost, and a loss of pixels alone would lose the subject: it is
small, and a sky is large. The perceptual loss compares what CLIP, which is trained before, sees in both pictures
(Johnson et al. 2016; Esser et al. 2021 trained DALL-E Mini's codebook so, with a network that had seen photographs).
"""

from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import torch
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.checkpoint import load_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.data.captioned import CaptionedPictures
from minidiffusion.images.grid import picture_sheet
from minidiffusion.images.pixels import psnr
from minidiffusion.latent.vq import perplexity, usage
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig

from .judge import shuffle_channels
from .task import Recipe, Task


@dataclass(frozen=True)
class CodebookTraining:
    r"""The settings of the picture tokenizer's training."""

    recipe: Recipe = Recipe(steps=3000, batch=32, lr=1e-3, warmup=100, ema=0.998, save_every=250, sheet_every=500)
    model: PictureTokenizerConfig = PictureTokenizerConfig()
    l1: float = 0.1
    codes_weight: float = 0.1
    perception: float = 0.02
    """The weight of the perceptual loss; 0 needs no CLIP."""
    shuffled: float = 0.0
    """The share of pictures whose colour channels are permuted."""


class CodebookTask(Task[PictureTokenizer]):
    r"""The picture tokenizer. The folder of weights holds the trained CLIP, if there is a perceptual loss."""

    name, network = "codebook", PictureTokenizer

    def __init__(self, training: CodebookTraining, data: CaptionedPictures, weights: Path):
        super().__init__(training, data, weights)
        self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        some = data.pictures(torch.arange(min(2048, len(data))))
        self.model.start(some, torch.Generator().manual_seed(training.recipe.seed))
        self.clip = load_model(weights, "clip", CLIPConfig, CLIP).requires_grad_(False) if training.perception else None

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x = self.data.pictures(indices)
        if self.training.shuffled:
            x, _ = shuffle_channels(x, generator, self.training.shuffled)
        x = x.to(self.device)
        x_hat, quantized = model(x)
        mse = (x_hat - x).square().mean()
        l1 = (x_hat - x).abs().mean()
        unlike = self.perceptual_loss(x, x_hat)
        loss = mse + self.training.l1 * l1 + self.training.codes_weight * quantized.loss
        numbers = {
            "psnr": psnr(x_hat[None], x[None]).item(),  # of the batch as one picture
            "unlike": unlike.item(),
            "usage": usage(quantized.ids, self.training.model.codes),
            "perplexity": perplexity(quantized.ids, self.training.model.codes),
        }
        return loss + self.training.perception * unlike, numbers

    def perceptual_loss(self, x: Float[Tensor, "b 3 H W"], x_hat: Float[Tensor, "b 3 H W"]) -> Float[Tensor, ""]:
        r"""One minus the cosine similarity of CLIP's embeddings."""
        if self.clip is None:
            return x.new_zeros(())
        clip = self.clip.to(x.device)
        return 1 - (clip.encode_image(x) * clip.encode_image(x_hat)).sum(dim=1).mean()

    def sheet(self, model: PictureTokenizer) -> PIL.Image.Image:
        x = self.data.pictures(torch.arange(16) % len(self.data)).to(self.device)
        return picture_sheet(torch.cat([x, model.decode(model.encode(x))]), columns=16)
