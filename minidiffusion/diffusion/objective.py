r"""The training objective: find the noise (article 4.1.3; Ho et al. 2020, eq. 14).

    L_simple = E_{x_0, eps, t} || target - network(x_t, t) ||^2,      x_t = alpha_t x_0 + sigma_t eps

The noise that is added and the noise that is asked for are the same tensor. (In the article's listing they are two, and
the best a network can then do is to answer 0.)
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import forward
from .prediction import target
from .schedule import Schedule

Weighting = Literal["simple", "min_snr"]
Times = Literal["uniform", "noisier"]


def draw_times(name: str, n: int, T: int, generator: torch.Generator) -> Int[Tensor, "n"]:
    r"""n times in 1..T to train at.

    "uniform" is DDPM's choice. "noisier" draws t/T = sigmoid(0.8 + 1.2 z) with a standard normal z, a logit-normal
    (Esser et al. 2024, eq. 19) with its median at 0.69. What is in a picture, and where, is decided between 0.75 and
    0.97: there x_t still hides it and the prompt must tell; below, the network sees it. Raises ValueError for another
    name.
    """
    if name == "uniform":
        return torch.randint(1, T + 1, (n,), generator=generator)
    if name == "noisier":
        u = torch.sigmoid(0.8 + 1.2 * torch.randn(n, generator=generator))
        return (u * T).ceil().long().clamp(1, T)
    raise ValueError(f"times is {name!r}; valid are 'uniform' and 'noisier'")


def weight(weighting: str, kind: str, snr: Float[Tensor, "b"], gamma: float = 5.0) -> Float[Tensor, "b"]:
    r"""The weight of a time in the loss.

    "simple" is 1. "min_snr" counts the squared error of x_0 by min(SNR, gamma), so that neither nearly clean nor very
    noisy pictures rule the gradient (Hang et al. 2023, eq. 8). For v, whose squared error is (SNR + 1) times that of
    x_0, this is min(SNR, gamma) / (SNR + 1); for eps, SNR times, it is min(SNR, gamma) / SNR.
    """
    if weighting == "simple":
        return snr.new_ones(snr.shape)
    if weighting == "min_snr":
        return snr.clamp(max=gamma) / {"x0": 1.0, "eps": snr, "v": snr + 1}[kind]
    raise ValueError(f"weighting is {weighting!r}; valid are 'simple' and 'min_snr'")


def loss(
    network: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    x_0: Float[Tensor, "b *rest"],
    t: Int[Tensor, "b"],
    eps: Float[Tensor, "b *rest"],
    kind: str = "v",
    weighting: str = "simple",
) -> Float[Tensor, "b"]:
    r"""The weighted mean squared error of each sample. t: times in 1..T, network(x_t, t - 1) -> the shape of x_0."""
    x_t = forward.sample(schedule, x_0, t, eps)
    wanted = target(kind, x_0, eps, forward.at(schedule.alpha, t, x_0), forward.at(schedule.sigma, t, x_0))
    error = (network(x_t, t - 1) - wanted).square().flatten(1).mean(dim=1)
    return weight(weighting, kind, schedule.snr.to(t.device)[t].to(x_0.dtype)) * error
