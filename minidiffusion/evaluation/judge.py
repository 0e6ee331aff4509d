r"""The judge: a small classifier that looks at a picture and reads its attributes back.

A text-to-image model is asked for "a red house at night"; the judge, which has only ever seen real renders and never a
prompt, says what it sees, and `evaluation.evaluate` compares the two. Its last layer before the answers doubles as the
feature space for distances between pictures, as Inception's does in the Fréchet distance of Heusel et al.
(arXiv:1706.08500); the judge's features know this picture world, which Inception never saw.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class JudgeConfig:
    r"""What a judge looks for, and how wide it is.

    attributes: name -> number of classes, in the order of the label columns; for the picture book
        `{name: len(values) for name, values in ATTRIBUTES.items()}`.
    channels: the first at 1/2 of the picture's side, every further one at half the side of the one before.
    features: length of the vector that all heads read.
    """

    attributes: dict[str, int]
    channels: tuple[int, ...] = (24, 48, 96, 128)
    features: int = 192
    picture_size: int = 64

    def __post_init__(self):
        if not self.attributes or min(self.attributes.values()) < 2:
            raise ValueError(f"a judge needs attributes of at least two classes each, got {self.attributes}")
        if not self.channels or any(c < 8 or c % 8 for c in self.channels):
            raise ValueError(f"channels must be positive multiples of 8 (the groups of GroupNorm), got {self.channels}")
        if self.picture_size % 2 ** len(self.channels):
            raise ValueError(
                f"picture_size must be a multiple of {2 ** len(self.channels)} for {len(self.channels)} halvings, "
                f"got {self.picture_size}"
            )


class HalvingBlock(nn.Module):
    r"""A pre-activation residual block (He et al., arXiv:1603.05027) that halves the side: `b c h w -> b d h/2 w/2`."""

    def __init__(self, c: int, d: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, c)
        self.conv1 = nn.Conv2d(c, d, 3, stride=2, padding=1)
        self.norm2 = nn.GroupNorm(8, d)
        self.conv2 = nn.Conv2d(d, d, 3, padding=1)
        self.skip = nn.Conv2d(c, d, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        h = self.conv1(F.relu(self.norm1(x)))
        h = self.conv2(F.relu(self.norm2(h)))
        return self.skip(F.avg_pool2d(x, 2)) + h


class Judge(nn.Module):
    r"""Pictures in [-1, 1] -> one vector of logits for each attribute.

    GroupNorm rather than BatchNorm: a picture's verdict then depends on no other picture and on no running average, so
    that training, the averaged copy (EMA), many processes and resuming all see the same function.

    The last map is *flattened* into the features, not averaged over its places: an average cannot tell left from right.
    """

    def __init__(self, config: JudgeConfig):
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.channels[0], 5, stride=2, padding=2)
        self.blocks = nn.Sequential(*(HalvingBlock(c, d) for c, d in pairwise(config.channels)))
        side = config.picture_size // 2 ** len(config.channels)
        self.norm = nn.GroupNorm(8, config.channels[-1])
        self.project = nn.Linear(config.channels[-1] * side**2, config.features)
        self.heads = nn.ModuleDict({name: nn.Linear(config.features, k) for name, k in config.attributes.items()})

    def features(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        r"""The vector that all heads read; distances between pictures are measured here."""
        size = self.config.picture_size
        if x.shape[-2:] != (size, size):
            raise ValueError(f"this judge looks at pictures of {size}x{size}, got {x.shape[-2]}x{x.shape[-1]}")
        x = x.contiguous(memory_format=torch.channels_last)  # a fifth faster on a CPU, the same numbers
        h = F.relu(self.norm(self.blocks(self.stem(x))))
        return F.relu(self.project(h.flatten(1)))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b k"]]:
        features = self.features(x)
        return {name: head(features) for name, head in self.heads.items()}


IGNORED = -100
"""The label of a question that is not asked of a picture (cross_entropy's own word for it)."""


def judge_loss(logits: dict[str, Tensor], labels: Int[Tensor, "b a"]) -> tuple[Float[Tensor, ""], dict[str, float]]:
    r"""$\sum_a -\log p_a(\mathrm{label}_a \mid x)$, each averaged over the pictures asked, and the share that is right.

    labels: one column an attribute, in the order of `logits`, IGNORED where it is not asked. The accuracies carry the
    attributes' names, and "all" is the share of pictures with every asked attribute right.
    """
    if labels.shape[1] != len(logits):
        raise ValueError(f"expected one label column for each of {', '.join(logits)}, got {labels.shape[1]} columns")
    answers = list(zip(logits.values(), labels.T, strict=True))
    loss = torch.stack([F.cross_entropy(z, label, ignore_index=IGNORED) for z, label in answers]).sum()
    asked = labels.T != IGNORED
    right = torch.stack([z.argmax(-1) == label for z, label in answers])
    shares = (right & asked).sum(1) / asked.sum(1)
    accuracies = dict(zip(logits, shares.tolist(), strict=True))
    return loss, accuracies | {"all": (right | ~asked).all(0).float().mean().item()}
