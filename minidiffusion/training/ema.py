r"""The exponential moving average (EMA) of the weights: the copy that is saved and samples.

The last steps of SGD scatter around a minimum; their average is nearer to it. After step $k = 0, 1, 2, \dots$

$$ \bar\theta \leftarrow d_k \bar\theta + (1 - d_k)\,\theta, \qquad d_k = \min\!\Big(d, \frac{1+k}{10+k}\Big). $$

The warm-up $(1+k)/(10+k)$ lets the average forget the random initialisation quickly: with a constant $d = 0.9999$ it
would still weigh 37 % after 10,000 steps. With $d = 0$ the copy is simply the current weights.
"""

import copy

import torch
from torch import nn


class EMA:
    r"""`ema.model`: a copy of `model`, in eval mode and without gradients, that follows it slowly."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    def decay_at(self, step: int) -> float:
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        r"""Moves the copy towards `model` after optimizer step `step` (counted from 0)."""
        weight = 1 - self.decay_at(step)
        for average, parameter in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(parameter, weight)
        for kept, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)  # tables and running statistics are not learnt by steps: take the latest
