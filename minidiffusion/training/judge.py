r"""Training the judge: what is in this picture? It sees real renders only, and never a held-out combination.

That has a trap. Where no cat is ever red, "it is red" is a reason against "it is a cat", and the judge learns it: of
real renders of held-out combinations it then names many subjects wrongly. So half of the pictures are shown with
their red, green and blue channels shuffled, and of those only what colour does not decide is asked. A shape must then
be known by its shape.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from minidiffusion.checkpoint import save_model
from minidiffusion.evaluation.judge import IGNORED, Judge, JudgeConfig, judge_loss
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES

from minidiffusion.training.loop import Recipe


@dataclass(frozen=True)
class JudgeTraining:
    r"""Everything that decides how the judge turns out."""

    recipe: Recipe = Recipe(steps=2000, batch=64, lr=1e-3, warmup=100, weight_decay=0.05, ema=0.998, save_every=250)
    model: JudgeConfig = JudgeConfig({name: len(values) for name, values in ATTRIBUTES.items()})


class JudgeTask:
    r"""The judge on the labelled pictures of `data`; the finished weights go to the folder `weights`."""

    def __init__(self, training: JudgeTraining, data: PictureBook, weights: Path):
        self.training, self.data, self.weights = training, data, weights
        self.settings = {"task": "judge", **asdict(training)}
        torch.manual_seed(training.recipe.seed)
        self.model = Judge(training.model)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x, shuffled = shuffle_channels(self.data.pictures(indices), generator)
        labels = self.data.labels[indices].masked_fill(shuffled[:, None] & torch.tensor(COLOURFUL), IGNORED)
        device = next(model.parameters()).device
        return judge_loss(model(x.to(device)), labels.to(device))

    def sheet(self, model: nn.Module) -> None:
        return None

    def after_step(self) -> None:
        pass

    def save(self, folder: Path, model: nn.Module) -> None:
        save_model(self.weights, "judge", model, self.training.model, dtype=torch.float16)


COLOURFUL = [name in ("colour", "place", "sky") for name in ATTRIBUTES]
"""What a picture with shuffled channels no longer tells."""


def shuffle_channels(
    x: Float[Tensor, "b 3 h w"], generator: torch.Generator, share: float = 0.5
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b"]]:
    r"""A `share` of the pictures with their colour channels in another order, and which they are."""
    order = torch.rand(len(x), 3, generator=generator).argsort(dim=1)
    shuffled = torch.rand(len(x), generator=generator) < share
    order[~shuffled] = torch.arange(3)
    return x[torch.arange(len(x))[:, None], order], shuffled
