r"""The training objective: find the noise (article 4.1.3; Ho et al. 2020, eq. 14).

    L = E_{x_0, eps, t} weight(t) || target - network(x_t, t) ||^2,      x_t = alpha_t x_0 + sigma_t eps

The noise that is added and the noise that is asked for are the same tensor. (In the article's listing they are two, and
the best a network can then do is to answer 0.)
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from minidiffusion.diffusion import bound, forward
from minidiffusion.diffusion.prediction import KINDS, target, to_prediction
from minidiffusion.diffusion.schedule import Schedule

Weighting = Literal["simple", "snr", "min_snr", "vlb"]
TimestepSampling = Literal["uniform", "noisier"]


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


def squared_error(kind: str, alpha: Tensor, sigma: Tensor) -> Tensor:
    r"""The squared error of an answer of that kind whose x_0 is wrong by 1: all kinds are one error in other units.

    x_t is given, so an error d of x_0 is an error -(alpha/sigma) d of eps; `target` says what becomes of the two. With
    variance preserved: SNR for eps, SNR + 1 for v.
    """
    to_eps = alpha / sigma
    match kind:
        case "eps":
            return to_eps**2
        case "x0":
            return torch.ones_like(alpha)
        case "v":
            return (alpha * to_eps + sigma) ** 2
        case "score":
            return (to_eps / sigma) ** 2
        case "velocity":
            return (to_eps + 1) ** 2
    raise ValueError(f"prediction is {kind!r}; valid are {', '.join(KINDS)}")


def weight(
    weighting: str, kind: str, schedule: Schedule, t: Int[Tensor, "b"], gamma: float = 5.0
) -> Float64[Tensor, "b"]:
    r"""What the squared error of the answer at time t counts.

    "simple" is 1. The others say what the squared error of *x_0* counts, and hence mean the same for every kind:

        snr        alpha^2 / sigma^2                    the simple loss of a network that predicts eps
        min_snr    min(SNR, gamma)                      neither nearly clean nor very noisy pictures rule the gradient
                                                        (Hang et al. 2023, eq. 8)
        vlb        alpha_s^2 beta_t / (2 sigma_t^4)     summed over all t, the variational bound in nats for each
                                                        number of x_0, up to a constant; s = t - 1 (Ho et al.
                                                        2020, eq. 12, sigma^2 = beta)

    eps and score tell nothing about x_0 where alpha = 0; their weights are infinite or undefined there. Raises
    ValueError for other names.
    """
    alpha, sigma = schedule.alpha[t], schedule.sigma[t]
    snr = (alpha / sigma) ** 2
    match weighting:
        case "simple":
            return torch.ones_like(snr)
        case "snr":
            error_of_x0 = snr
        case "min_snr":
            error_of_x0 = snr.clamp(max=gamma)
        case "vlb":
            error_of_x0 = schedule.alpha[t - 1] ** 2 * schedule.beta[t - 1] / (2 * sigma**4)
        case _:
            raise ValueError(f"weighting is {weighting!r}; valid are 'simple', 'snr', 'min_snr' and 'vlb'")
    return error_of_x0 / squared_error(kind, alpha, sigma)


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
    return weight(weighting, kind, schedule, t.cpu()).to(error) * error


def hybrid(
    network: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    x_0: Float[Tensor, "b c *rest"],
    t: Int[Tensor, "b"],
    eps: Float[Tensor, "b c *rest"],
    kind: str = "v",
    decoder: bound.Decoder | None = None,
    share: float = 0.001,
) -> Float[Tensor, "b"]:
    r"""L_simple + share L_vlb, for a network that learns its variance as well (Nichol & Dhariwal 2021, eq. 16).

    network(x_t, t - 1) -> `b 2c ...`: the answer, and where the variance lies, from -1 (beta_tilde) to 1 (beta). L_vlb
    is in bits per dimension; it moves the variance only, for the answer is detached there, as in the paper.
    """
    x_t = forward.sample(schedule, x_0, t, eps)
    alpha, sigma = forward.at(schedule.alpha, t, x_0), forward.at(schedule.sigma, t, x_0)
    answer, width = network(x_t, t - 1).chunk(2, dim=1)
    simple = (answer - target(kind, x_0, eps, alpha, sigma)).square().flatten(1).mean(dim=1)
    x0_hat = to_prediction(kind, answer.detach(), x_t, alpha, sigma).x0
    var = bound.reverse_variance(schedule, t, x_0, "learned", nu=(width + 1) / 2)
    nats = schedule.T * bound.step_term(schedule, x_0, x_t, t, x0_hat, var, decoder)
    return simple + share * nats / (x_0[0].numel() * math.log(2))
