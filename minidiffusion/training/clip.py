r"""Training CLIP: which sentence belongs to which picture? (article 2.4, 3.4.2)

A batch of b pictures and their b captions; the loss asks each to find its partner among the b (clip/contrastive.py).
The tokenizer is trained first, on captions of the same data.

A batch teaches only what tells its pictures apart. Among b random pictures, colour, place, sky and style are enough, so
a text encoder trained on those alone is slow to learn what "on the left" means, and a denoiser that reads its tokens
cannot obey it. Half of each batch is therefore made of look-alikes, which differ in little.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor, nn

from minidiffusion.checkpoint import save_model
from minidiffusion.clip.augment import crop
from minidiffusion.clip.contrastive import clamp_temperature, symmetric_cross_entropy
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.data.captioned import CaptionedPictures

from minidiffusion.training.loop import Recipe


@dataclass(frozen=True)
class CLIPTraining:
    r"""Everything that decides how CLIP turns out.

    `model.vocab_size` is the most that the tokenizer may learn; `model.picture_size` becomes that of the pictures.
    """

    recipe: Recipe = Recipe(
        steps=2000, batch=128, lr=1e-3, muon=0.01, warmup=100, weight_decay=0.05, ema=0.998, save_every=250
    )
    model: CLIPConfig = CLIPConfig(vocab_size=2048, vision_layers=(1, 1, 1, 1), vision_width=16, vision_heads=8)
    """A ResNet's eyes: on two cores, a vision transformer is slower, and later to see what a caption says rarely."""
    captions_for_tokenizer: int = 20_000
    augment: bool = False
    """Show a random crop of each picture: where there are few, so that none can be learnt by heart."""


class CLIPTask:
    r"""CLIP on the captioned pictures of `data`; tokenizer and weights go to the folder `weights`."""

    def __init__(self, training: CLIPTraining, data: CaptionedPictures, weights: Path):
        self.training, self.data, self.weights = training, data, weights
        some = torch.arange(training.captions_for_tokenizer) % len(data)
        captions = data.captions(some, torch.Generator().manual_seed(training.recipe.seed))
        self.tokenizer = Tokenizer.train(captions, training.model.vocab_size)
        self.labels = getattr(data, "labels", None)  # the picture book has them, a folder of pictures does not
        size = data.pictures(some[:1]).shape[-1]
        self.config = replace(training.model, vocab_size=self.tokenizer.vocab_size, picture_size=size)
        self.settings = {"task": "clip", **asdict(training)}
        torch.manual_seed(training.recipe.seed)
        self.model = CLIP(self.config)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        if self.labels is not None:
            half = len(indices) // 2
            indices = torch.cat([indices[half:], look_alikes(self.labels, half, generator)])
        x = self.data.pictures(indices)
        if self.training.augment:
            x = crop(x, generator)
        x = x.to(device)
        ids = self.tokenizer(self.data.captions(indices, generator), self.config.context_length).to(device)
        logits = model(x, ids)
        found = (logits.argmax(dim=1) == torch.arange(len(x), device=device)).float().mean()
        scale = self.model.logit_scale.exp()
        return symmetric_cross_entropy(logits), {"found": found.item(), "logit_scale": scale.item()}

    def sheet(self, model: nn.Module) -> None:
        return None

    def after_step(self) -> None:
        clamp_temperature(self.model)

    def save(self, folder: Path, model: nn.Module) -> None:
        self.tokenizer.save(self.weights / "tokenizer.json")
        save_model(self.weights, "clip", model, self.config, dtype=torch.float16)


def look_alikes(
    labels: Int[Tensor, "n a"], count: int, generator: torch.Generator, run: int = 8
) -> Int[Tensor, " count"]:
    r"""`count` indices of pictures, in runs of neighbours in a dictionary of the attributes.

    The attributes of a picture are the letters of its word. The dictionary is sorted by a random attribute first, then
    by another, ...; neighbours share their first letters and differ in the last. Of each word one picture is taken.
    """
    word = torch.zeros(len(labels), dtype=torch.long)  # of each picture, as one number
    for attribute in torch.randperm(labels.shape[1], generator=generator).tolist():
        letter = labels[:, attribute]
        word = word * (int(letter.max()) + 1) + letter
    word, order = word.sort(stable=True)
    order = order[torch.cat([torch.tensor([True]), word[1:] != word[:-1]])]
    starts = torch.randint(len(order), (math.ceil(count / run),), generator=generator)
    return order[(starts[:, None] + torch.arange(run)) % len(order)].flatten()[:count]
