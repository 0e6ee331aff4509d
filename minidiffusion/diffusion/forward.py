r"""The forward process: from data to noise, which is fixed and needs no learning (article 2.1.1, 3.1.2, 4.1.1).

Each step keeps a little less signal and adds a little noise. A sum of Gaussians is a Gaussian, so many steps are one
step in closed form, and so is the reverse step, given x_0.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .schedule import Schedule

ReverseVariance = Literal["beta", "beta_tilde", "learned"]


def at(table: Float[Tensor, "T1"], t: Int[Tensor, "b"], x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b *ones"]:
    r"""The table's entries at times t, in the type of x, shaped `b 1 1 1` so that they multiply x sample by sample."""
    return table.to(x.device)[t].to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def sample(
    schedule: Schedule, x_0: Float[Tensor, "b *rest"], t: Int[Tensor, "b"], eps: Float[Tensor, "b *rest"]
) -> Float[Tensor, "b *rest"]:
    r"""A sample of q(x_t | x_0) = N(alpha_t x_0, sigma_t^2 I), straight from x_0 to x_t (Ho et al. 2020, eq. 4).

    t: one time in 0..T for each sample; eps: standard normal noise, which the network is trained to predict.
    """
    return at(schedule.alpha, t, x_0) * x_0 + at(schedule.sigma, t, x_0) * eps


def single_step(
    schedule: Schedule, x_s: Float[Tensor, "b *rest"], t: Int[Tensor, "b"], eps: Float[Tensor, "b *rest"]
) -> Float[Tensor, "b *rest"]:
    r"""One step of the Markov chain, from s = t - 1 to t: q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I).

    The article's 4.1.1. t: one time in 1..T for each sample. T of these are one `sample`.
    """
    signal = schedule.alpha[1:] / schedule.alpha[:-1]  # sqrt(1 - beta), if variance is preserved
    return at(signal, t - 1, x_s) * x_s + at(schedule.beta.sqrt(), t - 1, x_s) * eps


Pair = Tensor | Sequence[Tensor]
r"""(value at t, value at an earlier time s)"""


def transition(alpha: Pair, sigma: Pair) -> tuple[Tensor, Tensor]:
    r"""Factor and variance of q(x_t | x_s) = N(factor x_s, var_{t|s} I).

        factor = alpha_t / alpha_s,      var_{t|s} = sigma_t^2 - factor^2 sigma_s^2

    Over a single step, var_{t|s} is beta_t.
    """
    (alpha_t, alpha_s), (sigma_t, sigma_s) = alpha, sigma
    factor = alpha_t / alpha_s
    return factor, sigma_t**2 - factor**2 * sigma_s**2


def posterior(x_t: Tensor, x_0: Tensor, alpha: Pair, sigma: Pair) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of q(x_s | x_t, x_0) for an earlier time s < t (Ho et al. 2020, eq. 6-7, for any s).

        mean = factor (sigma_s/sigma_t)^2 x_t + alpha_s var_{t|s} / sigma_t^2 x_0
        var  = var_{t|s} (sigma_s/sigma_t)^2

    with the factor and the variance of `transition`. With s = t - 1, var is the paper's beta-tilde.
    """
    factor, var_ts = transition(alpha, sigma)
    (_, alpha_s), (sigma_t, sigma_s) = alpha, sigma
    mean = factor * (sigma_s / sigma_t) ** 2 * x_t + alpha_s * var_ts / sigma_t**2 * x_0
    return mean, (var_ts * (sigma_s / sigma_t) ** 2).clamp(min=0)  # rounding may leave -1e-9 where it is 0


def choose_variance(choice: ReverseVariance, beta: Tensor, beta_tilde: Tensor, nu: Tensor | None = None) -> Tensor:
    r"""The variance of a *reverse* step. As x_0 is unknown, none of the three choices is exact in general:

        beta         exact if the data are standard normal, and nearly so for any smooth density and short steps
        beta_tilde   exact if the data are a single point: the variance of `posterior` (Ho et al. 2020, section 3.2)
        learned      exp(nu log beta + (1 - nu) log beta_tilde) (Nichol & Dhariwal 2021, eq. 15)

    Raises ValueError for an unknown choice, and for "learned" without a nu.
    """
    match choice:
        case "beta":
            return beta
        case "beta_tilde":
            return beta_tilde
        case "learned":
            if nu is None:
                raise ValueError("the variance 'learned' needs a denoiser that predicts one, but this one has nu None")
            return torch.exp(nu * beta.log() + (1 - nu) * beta_tilde.log())
    raise ValueError(f"the variance must be one of {', '.join(get_args(ReverseVariance))}, got {choice!r}")


def standard_normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""Standard normal noise with the shape, dtype and device of x."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
