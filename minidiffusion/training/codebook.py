r"""Training the picture tokenizer: pictures in, 64 whole numbers, the same pictures out (article 6.1).

    loss = |x - x_hat|^2 + l1 |x - x_hat| + codes_weight (|sg[z] - e|^2 + beta |z - sg[e]|^2)
           + perception (1 - cos(CLIP(x), CLIP(x_hat)))

The pixels' part is that of the VAE. The codes' part, van den Oord's (latent/vq.py), is a mean over d numbers that carry
the 192 of a patch: at weight 1 it outweighs the pixels, and the encoder learns to agree with its codes before it learns
to see.

12 bits cannot tell a patch, so something must be lost, and pixels alone would lose the subject: it is small, and a sky
is large. A network that knows what a picture is of asks for what matters (a perceptual loss: Johnson et al. 2016; Esser
et al. 2021 trained DALL-E Mini's codebook so). Theirs had seen photographs; ours is CLIP, which is trained before.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import PIL.Image
import torch
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.checkpoint import load_model, save_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.data.captioned import CaptionedPictures
from minidiffusion.latent.vq import perplexity, usage
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig

from minidiffusion.training.judge import shuffle_channels
from minidiffusion.training.loop import Recipe
from minidiffusion.images.grid import picture_sheet


@dataclass(frozen=True)
class CodebookTraining:
    r"""Everything that decides how the picture tokenizer turns out."""

    recipe: Recipe = Recipe(steps=3000, batch=32, lr=1e-3, warmup=100, ema=0.998, save_every=250, sheet_every=500)
    model: PictureTokenizerConfig = PictureTokenizerConfig()
    l1: float = 0.1
    codes_weight: float = 0.1
    perception: float = 0.02
    """0 looks at pixels only, and needs no CLIP."""
    shuffled: float = 0.0
    """The share of pictures that are seen with their colour channels in another order."""


class CodebookTask:
    r"""The picture tokenizer on the pictures of `data`; the finished weights go to the folder `weights`."""

    def __init__(self, training: CodebookTraining, data: CaptionedPictures, weights: Path):
        self.training, self.data, self.weights = training, data, weights
        self.settings = {"task": "codebook", **asdict(training)}
        torch.manual_seed(training.recipe.seed)
        self.model = PictureTokenizer(training.model).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        some = data.pictures(torch.arange(min(2048, len(data))))
        self.model.start(some, torch.Generator().manual_seed(training.recipe.seed))
        self.clip = load_model(weights, "clip", CLIPConfig, CLIP).requires_grad_(False) if training.perception else None

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x = self.data.pictures(indices)
        if self.training.shuffled:
            x, _ = shuffle_channels(x, generator, self.training.shuffled)
        x = x.to(next(model.parameters()).device)
        x_hat, quantized = model(x)
        mse = (x_hat - x).square().mean()
        l1 = (x_hat - x).abs().mean()
        unlike = self.unlike(x, x_hat)
        loss = mse + self.training.l1 * l1 + self.training.codes_weight * quantized.loss
        numbers = {
            "psnr": 10 * (4 / mse.detach()).log10().item(),
            "unlike": unlike.item(),
            "usage": usage(quantized.ids, self.training.model.codes),
            "perplexity": perplexity(quantized.ids, self.training.model.codes),
        }
        return loss + self.training.perception * unlike, numbers

    def unlike(self, x: Float[Tensor, "b 3 H W"], x_hat: Float[Tensor, "b 3 H W"]) -> Float[Tensor, ""]:
        r"""How unlike the two are to CLIP: one minus the cosine."""
        if self.clip is None:
            return x.new_zeros(())
        clip = self.clip.to(x.device)
        return 1 - (clip.encode_image(x) * clip.encode_image(x_hat)).sum(dim=1).mean()

    def sheet(self, model: nn.Module) -> PIL.Image.Image:
        assert isinstance(model, PictureTokenizer)
        x = self.data.pictures(torch.arange(16) % len(self.data)).to(next(model.parameters()).device)
        return picture_sheet(torch.cat([x, model.decode(model.encode(x))]), columns=16)

    def after_step(self) -> None:
        pass

    def save(self, folder: Path, model: nn.Module) -> None:
        save_model(self.weights, "codebook", model, self.training.model, dtype=torch.float16)
