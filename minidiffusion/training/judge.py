r"""Training the judge, the attribute classifier, on real renders only, and never of a held-out combination.

That invites a shortcut. Where no cat is ever red, "it is red" is evidence against "it is a cat", and the classifier
learns it: it then misclassifies the subject of many real renders of held-out combinations. So the red, green and blue
channels of half of the pictures are permuted, and the loss ignores the attributes that colour decides. A subject must
then be recognised by its shape.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from minidiffusion.evaluation.judge import IGNORED, Judge, JudgeConfig, judge_loss
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES

from .task import Recipe, Task


@dataclass(frozen=True)
class JudgeTraining:
    r"""The settings of the judge's training."""

    recipe: Recipe = Recipe(steps=2000, batch=64, lr=1e-3, warmup=100, weight_decay=0.05, ema=0.998, save_every=250)
    model: JudgeConfig = JudgeConfig()


class JudgeTask(Task[Judge]):
    r"""The judge on the labelled pictures of a `PictureBook`."""

    name, network = "judge", Judge
    data: PictureBook

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x, shuffled = shuffle_channels(self.data.pictures(indices), generator)
        labels = self.data.labels[indices].masked_fill(shuffled[:, None] & torch.tensor(COLOURFUL), IGNORED)
        return judge_loss(model(x.to(self.device)), labels.to(self.device))


COLOURFUL = [name in ("colour", "place", "sky") for name in ATTRIBUTES]
"""The attributes that cannot be read from a picture with permuted channels."""


def shuffle_channels(
    x: Float[Tensor, "b 3 h w"], generator: torch.Generator, share: float = 0.5
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b"]]:
    r"""The pictures, of which about a `share` have their colour channels permuted, and which those are."""
    order = torch.rand(len(x), 3, generator=generator).argsort(dim=1)
    shuffled = torch.rand(len(x), generator=generator) < share
    order[~shuffled] = torch.arange(3)
    return x[torch.arange(len(x))[:, None], order], shuffled
