r"""What a network predicts, and how to turn one answer into another.

Given x_t = alpha x_0 + sigma eps, every kind of answer is a second equation in the same two unknowns:

    kind        the network's target    x_0 from it                         eps from it
    eps         eps                     (x_t - sigma eps) / alpha           eps
    x0          x_0                     x_0                                 (x_t - alpha x_0) / sigma
    v           alpha eps - sigma x_0   (alpha x_t - sigma v) / r^2         (sigma x_t + alpha v) / r^2
    score       -eps / sigma            (x_t + sigma^2 score) / alpha       -sigma score
    velocity    eps - x_0               (x_t - sigma u) / (alpha + sigma)   (x_t + alpha u) / (alpha + sigma)

with r^2 = alpha^2 + sigma^2, which is 1 where variance is preserved. (Ho et al. 2020, eq. 9; Salimans & Ho 2022,
appendix D; Song & Ermon 2019, eq. 5, whose x_0 is Tweedie's formula; Lipman et al. 2023.) Where alpha = 0, eps
and score say nothing about x_0; where sigma = 0, x_0 says nothing about eps. v and velocity are well behaved at both
ends.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from minidiffusion.diffusion.forward import at
from minidiffusion.diffusion.schedule import Schedule

PredictionType = Literal["eps", "x0", "v", "score", "velocity"]
KINDS: tuple[str, ...] = get_args(PredictionType)


class Prediction(NamedTuple):
    r"""What a denoiser believes: the clean picture and the noise in x_t, each in the shape of x_t.

    nu says how wide the reverse step is, from 0 (beta-tilde) to 1 (beta), for networks that have learnt it.
    """

    x0: Tensor
    eps: Tensor
    nu: Tensor | None = None


def target(kind: str, x_0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    r"""What the network must answer. alpha, sigma broadcast against x_0."""
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
    raise ValueError(f"prediction is {kind!r}; valid are {', '.join(KINDS)}")


def to_prediction(kind: str, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
    r"""The network's answer as (x0, eps). alpha, sigma broadcast against x_t."""
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
    raise ValueError(f"prediction is {kind!r}; valid are {', '.join(KINDS)}")


def convert(source: str, to: str, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    r"""An answer of the kind `source` as the answer that a network of the kind `to` would have given."""
    x0, eps, _ = to_prediction(source, output, x_t, alpha, sigma)
    return target(to, x0, eps, alpha, sigma)


def denoiser(network: Callable[..., Tensor], schedule: Schedule, kind: str) -> Callable[..., Prediction]:
    r"""The one adapter between a network and a sampler: denoise(x_t, t, context) -> Prediction.

    t counts 0..T with 0 clean; Stable Diffusion's network counts its T noisy times 0..T-1, hence the t - 1. A network
    that answers with twice the channels of x_t has learnt its variance: the second half, from -1 to 1, is nu.
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
