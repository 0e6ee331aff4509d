r"""The training objective: predict the noise, or what is equivalent to it (article 4.1.3; Ho et al. 2020, eq. 14).

    L = E_{x_0, eps, t} weight(t) || target - network(x_t, t) ||^2,      x_t = alpha_t x_0 + sigma_t eps

The noise that is added and the noise in the target are the same tensor. (In the article's listing they are two
independent ones, and the best a network can then do is to predict 0.)
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from . import bound, forward
from .prediction import PREDICTION_TYPES, PredictionType, target, to_prediction
from .schedule import Schedule

Weighting = Literal["simple", "snr", "min_snr", "vlb"]
TimestepSampling = Literal["uniform", "noisier"]


def draw_times(name: TimestepSampling, n: int, T: int, generator: torch.Generator) -> Int[Tensor, "n"]:
    r"""n random times in 1..T to train at.

    "uniform" is DDPM's choice. "noisier" draws t/T = sigmoid(0.8 + 1.2 z) with a standard normal z, a logit-normal
    (Esser et al. 2024, eq. 19) with its median at 0.69. What is in a picture, and where, is decided between 0.75 and
    0.97: there it cannot be seen in x_t and must come from the prompt. Raises ValueError for an unknown name.
    """
    if name == "uniform":
        return torch.randint(1, T + 1, (n,), generator=generator)
    if name == "noisier":
        u = torch.sigmoid(0.8 + 1.2 * torch.randn(n, generator=generator))
        return (u * T).ceil().long().clamp(1, T)
    raise ValueError(f"the timestep sampling must be one of {', '.join(get_args(TimestepSampling))}, got {name!r}")


def squared_error(kind: PredictionType, alpha: Tensor, sigma: Tensor) -> Tensor:
    r"""The squared error of a prediction of that kind whose x_0 is off by 1: the units of that kind's error.

    x_t is given, so an error d of x_0 is an error -(alpha/sigma) d of eps, and `target` combines the two. With variance
    preserved: SNR for eps, SNR + 1 for v.
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
    raise ValueError(f"the prediction type must be one of {', '.join(PREDICTION_TYPES)}, got {kind!r}")


def weight(
    weighting: Weighting, kind: PredictionType, schedule: Schedule, t: Int[Tensor, "b"], gamma: float = 5.0
) -> Float64[Tensor, "b"]:
    r"""The weight of the squared error at time t.

    "simple" is 1. The others weight the squared error of *x_0*, and hence mean the same for every kind:

        snr        alpha^2 / sigma^2                    the simple loss of a network that predicts eps
        min_snr    min(SNR, gamma)                      neither nearly clean nor very noisy x_t dominate the gradient
                                                        (Hang et al. 2023, eq. 8)
        vlb        alpha_s^2 beta_t / (2 sigma_t^4)     summed over all t, the variational bound in nats for each
                                                        number of x_0, up to a constant; s = t - 1 (Ho et al.
                                                        2020, eq. 12, sigma^2 = beta)

    eps and score do not determine x_0 where alpha = 0; their weights are infinite or undefined there. Raises
    ValueError for unknown names.
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
            raise ValueError(f"the weighting must be one of {', '.join(get_args(Weighting))}, got {weighting!r}")
    return error_of_x0 / squared_error(kind, alpha, sigma)


def loss(
    network: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    x_0: Float[Tensor, "b *rest"],
    t: Int[Tensor, "b"],
    eps: Float[Tensor, "b *rest"],
    kind: PredictionType = "v",
    weighting: Weighting = "simple",
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
    kind: PredictionType = "v",
    decoder: bound.Decoder | None = None,
    share: float = 0.001,
) -> Float[Tensor, "b"]:
    r"""L_simple + share L_vlb, for a network that learns its variance as well (Nichol & Dhariwal 2021, eq. 16).

    network(x_t, t - 1) -> `b 2c ...`: the prediction, and where the variance lies, from -1 (beta_tilde) to 1 (beta).
    L_vlb is in bits per dimension; it trains the variance only, as the prediction is detached there, as in the paper.
    """
    x_t = forward.sample(schedule, x_0, t, eps)
    alpha, sigma = forward.at(schedule.alpha, t, x_0), forward.at(schedule.sigma, t, x_0)
    output, width = network(x_t, t - 1).chunk(2, dim=1)
    simple = (output - target(kind, x_0, eps, alpha, sigma)).square().flatten(1).mean(dim=1)
    x0_hat = to_prediction(kind, output.detach(), x_t, alpha, sigma).x0
    var = bound.reverse_variance(schedule, t, x_0, "learned", nu=(width + 1) / 2)
    nats = schedule.T * bound.step_term(schedule, x_0, x_t, t, x0_hat, var, decoder)
    return simple + share * nats / (x_0[0].numel() * math.log(2))
