r"""Training CLIP: which caption belongs to which picture? (article 2.4, 3.4.2)

A batch has b pictures and their b captions; the contrastive loss classifies each among the b (clip/contrastive.py). The
tokenizer is trained first, on captions of the same data.

A batch teaches only what tells its pictures apart. Among b random pictures, colour, place, sky and style are enough, so
a text encoder trained on those alone is slow to learn what "on the left" means, and so is a denoiser that reads its
tokens. Half of each batch are therefore hard negatives: pictures that differ in little.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor, nn

from minidiffusion.clip.augment import crop
from minidiffusion.clip.contrastive import clamp_temperature, symmetric_cross_entropy
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.data.captioned import CaptionedPictures

from .task import Recipe, Task


@dataclass(frozen=True)
class CLIPTraining:
    r"""The settings of CLIP's training.

    `model.vocab_size` is the most that the tokenizer may learn; `model.picture_size` becomes that of the pictures.
    """

    recipe: Recipe = Recipe(
        steps=2000, batch=128, lr=1e-3, muon=0.01, warmup=100, weight_decay=0.05, ema=0.998, save_every=250
    )
    model: CLIPConfig = CLIPConfig(vocab_size=2048, vision_layers=(1, 1, 1, 1), vision_width=16, vision_heads=8)
    """The picture encoder is a ResNet: on two cores, a vision transformer is slower, and later to learn what captions
    say rarely."""
    captions_for_tokenizer: int = 20_000
    augment: bool = False
    """Take a random crop of each picture, against overfitting where there are few."""


class CLIPTask(Task[CLIP]):
    r"""CLIP, and its tokenizer, on captioned pictures."""

    name, network = "clip", CLIP

    def __init__(self, training: CLIPTraining, data: CaptionedPictures, weights: Path):
        some = torch.arange(training.captions_for_tokenizer) % len(data)
        captions = data.captions(some, torch.Generator().manual_seed(training.recipe.seed))
        self.tokenizer = Tokenizer.train(captions, training.model.vocab_size)
        self.labels = getattr(data, "labels", None)  # the picture book has them, a folder of pictures does not
        size = data.pictures(some[:1]).shape[-1]
        config = replace(training.model, vocab_size=self.tokenizer.vocab_size, picture_size=size)
        super().__init__(training, data, weights, config)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        if self.labels is not None:
            half = len(indices) // 2
            indices = torch.cat([indices[half:], hard_negatives(self.labels, half, generator)])
        x = self.data.pictures(indices)
        if self.training.augment:
            x = crop(x, generator)
        ids = self.tokenizer(self.data.captions(indices, generator), self.config.context_length)
        logits = model(x.to(self.device), ids.to(self.device))
        found = (logits.argmax(dim=1) == torch.arange(len(x), device=self.device)).float().mean()
        scale = self.model.logit_scale.exp()
        return symmetric_cross_entropy(logits), {"found": found.item(), "logit_scale": scale.item()}

    def after_step(self) -> None:
        clamp_temperature(self.model)

    def save(self, folder: Path, model: CLIP) -> None:
        self.tokenizer.save(self.weights / "tokenizer.json")
        super().save(folder, model)


def hard_negatives(
    labels: Int[Tensor, "n a"], count: int, generator: torch.Generator, run: int = 8
) -> Int[Tensor, " count"]:
    r"""`count` indices of pictures, in runs of neighbours when pictures are sorted by their attributes.

    They are sorted by a random attribute first, then by another, ...; so neighbours agree in the first attributes and
    differ in the last. Of pictures that agree in all, one is taken.
    """
    key = torch.zeros(len(labels), dtype=torch.long)  # of each picture: its attributes as the digits of one number
    for attribute in torch.randperm(labels.shape[1], generator=generator).tolist():
        digit = labels[:, attribute]
        key = key * (int(digit.max()) + 1) + digit
    key, order = key.sort(stable=True)
    order = order[torch.cat([torch.tensor([True]), key[1:] != key[:-1]])]
    starts = torch.randint(len(order), (math.ceil(count / run),), generator=generator)
    return order[(starts[:, None] + torch.arange(run)) % len(order)].flatten()[:count]
