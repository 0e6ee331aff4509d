r"""Prediction types: what a network predicts, and how to convert one prediction into another.

Given x_t = alpha x_0 + sigma eps, every prediction is a second equation in the same two unknowns:

    kind        the network's target    x_0 from it                         eps from it
    eps         eps                     (x_t - sigma eps) / alpha           eps
    x0          x_0                     x_0                                 (x_t - alpha x_0) / sigma
    v           alpha eps - sigma x_0   (alpha x_t - sigma v) / r^2         (sigma x_t + alpha v) / r^2
    score       -eps / sigma            (x_t + sigma^2 score) / alpha       -sigma score
    velocity    eps - x_0               (x_t - sigma u) / (alpha + sigma)   (x_t + alpha u) / (alpha + sigma)

with r^2 = alpha^2 + sigma^2, which is 1 where variance is preserved. (Ho et al. 2020, eq. 9; Salimans & Ho 2022,
appendix D; Song & Ermon 2019, eq. 5, whose x_0 is Tweedie's formula; Lipman et al. 2023.) Where alpha = 0, eps
and score do not determine x_0; where sigma = 0, x_0 does not determine eps. v and velocity are finite at both ends.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from .forward import at
from .schedule import Schedule

PredictionType = Literal["eps", "x0", "v", "score", "velocity"]
PREDICTION_TYPES: tuple[PredictionType, ...] = get_args(PredictionType)


class Prediction(NamedTuple):
    r"""A denoiser's estimates of the clean data and of the noise in x_t, each in the shape of x_t.

    nu interpolates the variance of the reverse step, from 0 (beta-tilde) to 1 (beta); None if the network has not
    learnt it.
    """

    x0: Tensor
    eps: Tensor
    nu: Tensor | None = None


Denoise = Callable[[Tensor, Tensor], Prediction]
r"""denoise(x_t, t), with one time t in 1..T for the whole batch, a tensor of shape `()`. All that a sampler calls."""


def target(kind: PredictionType, x_0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    r"""The training target of a network that predicts `kind`. alpha, sigma broadcast against x_0.

    Raises ValueError for an unknown kind.
    """
    match kind:
        case "eps":
            return eps
        case "x0":
            return x_0
        case "v":
            return alpha * eps - sigma * x_0
        case "score":
            return -eps / sigma
        case "velocity":
            return eps - x_0
    raise ValueError(f"the prediction type must be one of {', '.join(PREDICTION_TYPES)}, got {kind!r}")


def to_prediction(kind: PredictionType, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
    r"""The network's output, a prediction of `kind`, as (x0, eps). alpha, sigma broadcast against x_t.

    Raises ValueError for an unknown kind.
    """
    match kind:
        case "eps":
            return Prediction(x0=(x_t - sigma * output) / alpha, eps=output)
        case "x0":
            return Prediction(x0=output, eps=(x_t - alpha * output) / sigma)
        case "v":
            square = alpha**2 + sigma**2
            return Prediction(
                x0=(alpha * x_t - sigma * output) / square,
                eps=(sigma * x_t + alpha * output) / square,
            )
        case "score":
            return Prediction(x0=(x_t + sigma**2 * output) / alpha, eps=-sigma * output)
        case "velocity":
            total = alpha + sigma
            return Prediction(x0=(x_t - sigma * output) / total, eps=(x_t + alpha * output) / total)
    raise ValueError(f"the prediction type must be one of {', '.join(PREDICTION_TYPES)}, got {kind!r}")


def convert(
    source: PredictionType, to: PredictionType, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    r"""A prediction of the kind `source` as the prediction of the kind `to` that has the same x_0 and eps."""
    x0, eps, _ = to_prediction(source, output, x_t, alpha, sigma)
    return target(to, x0, eps, alpha, sigma)


def denoiser(network: Callable[..., Tensor], schedule: Schedule, kind: PredictionType) -> Callable[..., Prediction]:
    r"""The one adapter between a network and a sampler: denoise(x_t, t, context) -> Prediction.

    t counts 0..T with 0 clean; Stable Diffusion's network counts its T noisy times 0..T-1, hence the t - 1. A network
    whose output has twice the channels of x_t has learnt its variance: the second half, from -1 to 1, encodes nu.
    """

    def denoise(x_t: Tensor, t: Tensor, context: Tensor | None = None) -> Prediction:
        times = t.expand(len(x_t)).to(x_t.device)
        output = network(x_t, times - 1) if context is None else network(x_t, times - 1, context)
        nu = None
        if output.shape[1] == 2 * x_t.shape[1]:
            output, width = output.chunk(2, dim=1)
            nu = (width + 1) / 2
        alpha, sigma = at(schedule.alpha, times, x_t), at(schedule.sigma, times, x_t)
        return to_prediction(kind, output, x_t, alpha, sigma)._replace(nu=nu)

    return denoise
