r"""The attribute classifier, "the judge" for short: a small network that predicts the attributes of a picture.

A text-to-image model draws "a red house at night"; the judge, which was trained on real renders and never saw a prompt,
predicts what is in the picture, and `evaluate` compares the two. Its last layer before the predictions is also the
feature space for distances between pictures, as Inception's is in the Fréchet distance of Heusel et al.
(arXiv:1706.08500); Inception never saw pictures like these.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minidiffusion.checkpoint import CheckpointError, load_model
from minidiffusion.errors import UserError
from minidiffusion.picturebook.scene import ATTRIBUTES
from minidiffusion.pretrained.weights import find_weights

CLASSES = {name: len(values) for name, values in ATTRIBUTES.items()}


@dataclass(frozen=True)
class JudgeConfig:
    r"""Raises UserError for a value out of range.

    attributes: name -> number of classes, in the order of the label columns; by default those of the picture book.
    channels: the first at 1/2 of the picture's side, every further one at half the side of the one before.
    features: length of the vector that all heads read.
    """

    attributes: dict[str, int] = field(default_factory=CLASSES.copy)
    channels: tuple[int, ...] = (24, 48, 96, 128)
    features: int = 192
    picture_size: int = 64

    def __post_init__(self):
        if not self.attributes or min(self.attributes.values()) < 2:
            raise UserError(f"attributes must have at least two classes each, got {self.attributes}.")
        if not self.channels or any(c < 8 or c % 8 for c in self.channels):
            raise UserError(f"channels must be positive multiples of 8 (the groups of GroupNorm), got {self.channels}.")
        if self.picture_size % 2 ** len(self.channels):
            raise UserError(
                f"picture_size must be a multiple of {2 ** len(self.channels)} for {len(self.channels)} blocks, "
                f"got {self.picture_size}."
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

    GroupNorm rather than BatchNorm: a prediction then depends on no other picture and on no running average, so that
    training, the averaged copy (EMA), many processes and resuming all see the same function.

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
            raise ValueError(f"pictures must be {size} x {size}, got {x.shape[-1]} x {x.shape[-2]}")
        x = x.contiguous(memory_format=torch.channels_last)  # a fifth faster on a CPU, the same numbers
        h = F.relu(self.norm(self.blocks(self.stem(x))))
        return F.relu(self.project(h.flatten(1)))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b k"]]:
        features = self.features(x)
        return {name: head(features) for name, head in self.heads.items()}


def load_judge(weights: str | Path = "picturebook") -> Judge:
    r"""The judge of shipped weights, or of a folder. Raises CheckpointError, also for one of other attributes."""
    judge = load_model(find_weights(weights), "judge", JudgeConfig, Judge)
    if judge.config.attributes != CLASSES:
        raise CheckpointError(f"The judge in {str(weights)!r} was trained for other attributes.")
    return judge


def read_attributes(judge: Judge, pictures: Float[Tensor, "b 3 h w"]) -> Int[Tensor, "b a"]:
    r"""The most probable value of each attribute, as an index, in the order of ATTRIBUTES."""
    logits = judge(pictures)
    return torch.stack([logits[name].argmax(-1) for name in ATTRIBUTES], dim=1)


IGNORED = -100
"""The label of an attribute that does not count (the default `ignore_index` of cross_entropy)."""


def judge_loss(logits: dict[str, Tensor], labels: Int[Tensor, "b a"]) -> tuple[Float[Tensor, ""], dict[str, float]]:
    r"""$\sum_a -\log p_a(\mathrm{label}_a \mid x)$, each averaged over the pictures where it counts, and accuracies.

    labels: one column an attribute, in the order of `logits`, IGNORED where it does not count. The accuracies carry the
    attributes' names, and "all" is the share of pictures with every attribute right that counts.
    """
    if labels.shape[1] != len(logits):
        raise ValueError(f"there must be a label column for each of {', '.join(logits)}, got {labels.shape[1]} columns")
    pairs = list(zip(logits.values(), labels.T, strict=True))
    loss = torch.stack([F.cross_entropy(z, label, ignore_index=IGNORED) for z, label in pairs]).sum()
    counts = labels.T != IGNORED
    right = torch.stack([z.argmax(-1) == label for z, label in pairs])
    shares = (right & counts).sum(1) / counts.sum(1)
    accuracies = dict(zip(logits, shares.tolist(), strict=True))
    return loss, accuracies | {"all": (right | ~counts).all(0).float().mean().item()}
