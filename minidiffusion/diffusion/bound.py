r"""The variational bound: at most how many nats the model needs for x_0 (article 4.1.3; Ho et al. 2020, eq. 5).

    -log p(x_0) <= L_vlb = KL( q(x_T | x_0) || p(x_T) )                                     prior
                         + sum_{t=2}^T E KL( q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t) )    one term a step
                         + E[ -log p(x_0 | x_1) ]                                           decoder

All distributions are Gaussian, so every term is in closed form; only x_t ~ q(x_t | x_0) is sampled. The reverse step
p(x_{t-1} | x_t) is q(x_{t-1} | x_t, x0_hat) with a variance of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.special import log_ndtr

from . import forward
from .forward import ReverseVariance
from .prediction import Denoise
from .schedule import Schedule

Decoder = Callable[[Tensor, Tensor, Tensor], Tensor]
r"""decoder(x_0, mean, var) -> log p(x_0 | x_1) for each sample, where p(x_0 | x_1) has that mean and variance."""


@dataclass(frozen=True)
class Bound:
    r"""The bound on -log p(x_0) in nats, for each sample, as its terms."""

    prior: Float[Tensor, "b"]
    steps: Float[Tensor, "b T"]
    r"""Column t - 1 is the term of step t: column 0 the decoder, all others KL divergences."""
    dimensions: int

    @property
    def total(self) -> Float[Tensor, "b"]:
        return self.prior + self.steps.sum(dim=1)

    def bits_per_dim(self, nats: Tensor) -> Tensor:
        r"""Any of these in bits per dimension of x_0."""
        return nats / (self.dimensions * math.log(2))


def variational_bound(
    denoise: Denoise,
    schedule: Schedule,
    x_0: Float[Tensor, "b *rest"],
    *,
    decoder: Decoder | None = None,
    variance: ReverseVariance = "beta_tilde",
    generator: torch.Generator | None = None,
) -> Bound:
    r"""All T + 1 terms, with one draw of noise a step. The mean over data of their sum is an unbiased estimate.

    decoder: `gaussian` by default. Calls `denoise` T times. Raises ValueError for an unknown variance.
    """
    terms = []
    for t in range(1, schedule.T + 1):
        times = torch.full((len(x_0),), t, device=x_0.device)
        x_t = forward.sample(schedule, x_0, times, forward.standard_normal_like(x_0, generator))
        x0_hat, _, nu = denoise(x_t, torch.tensor(t))
        var = reverse_variance(schedule, times, x_0, variance, nu)
        terms.append(step_term(schedule, x_0, x_t, times, x0_hat, var, decoder))
    return Bound(prior_term(schedule, x_0), torch.stack(terms, dim=1), x_0[0].numel())


def prior_term(schedule: Schedule, x_0: Float[Tensor, "b *rest"]) -> Float[Tensor, "b"]:
    r"""KL( q(x_T | x_0) || N(0, std_T^2) ): what x_T still tells about x_0. It does not depend on the network."""
    alpha, sigma = schedule.alpha[-1].to(x_0), schedule.sigma[-1].to(x_0)
    std = torch.full_like(x_0, schedule.std_T)
    return gaussian_kl(alpha * x_0, sigma**2, torch.zeros_like(x_0), std**2).flatten(1).sum(dim=1)


def step_term(
    schedule: Schedule,
    x_0: Float[Tensor, "b *rest"],
    x_t: Float[Tensor, "b *rest"],
    t: Int[Tensor, "b"],
    x0_hat: Float[Tensor, "b *rest"],
    var: Tensor,
    decoder: Decoder | None = None,
) -> Float[Tensor, "b"]:
    r"""The bound's term at step t[i] of each sample i, in nats: the decoder's at t = 1, else the KL divergence.

    var: the variance of p(x_{t-1} | x_t), broadcast against x_0.
    """
    alpha = forward.at(schedule.alpha, t, x_0), forward.at(schedule.alpha, t - 1, x_0)
    sigma = forward.at(schedule.sigma, t, x_0), forward.at(schedule.sigma, t - 1, x_0)
    mean_q, var_q = forward.posterior(x_t, x_0, alpha, sigma)
    mean_p, _ = forward.posterior(x_t, x0_hat, alpha, sigma)
    first = (t == 1).reshape(var_q.shape)
    kl = gaussian_kl(mean_q, var_q.where(~first, var), mean_p, var).flatten(1).sum(dim=1)
    return kl.where(t > 1, -(decoder or gaussian)(x_0, mean_p, var.expand_as(x_0)))


def gaussian_kl(mean_q: Tensor, var_q: Tensor, mean_p: Tensor, var_p: Tensor) -> Tensor:
    r"""KL( N(mean_q, var_q) || N(mean_p, var_p) ) for each number, in nats."""
    ratio = var_q / var_p
    return 0.5 * (ratio - 1 - ratio.log() + (mean_q - mean_p) ** 2 / var_p)


def reverse_variance(
    schedule: Schedule,
    t: Int[Tensor, "b"],
    x: Float[Tensor, "b *rest"],
    choice: ReverseVariance,
    nu: Tensor | None = None,
) -> Tensor:
    r"""The variance of p(x_{t-1} | x_t) by `forward.choose_variance`, shaped to multiply x.

    At t = 1, beta_tilde is 0, with which log p(x_0 | x_1) would be infinite; beta_tilde_2 takes its place.
    """
    beta, sigma = schedule.beta, schedule.sigma
    beta_tilde = beta * (sigma[:-1] / sigma[1:]) ** 2
    beta_tilde[0] = beta_tilde[1] if schedule.T > 1 else beta[0]
    return forward.choose_variance(choice, forward.at(beta, t - 1, x), forward.at(beta_tilde, t - 1, x), nu)


# ------------------------------------------------------------------------------------------------- decoders


def gaussian(x_0: Float[Tensor, "b *rest"], mean: Float[Tensor, "b *rest"], var: Tensor) -> Float[Tensor, "b"]:
    r"""log N(x_0; mean, var), for real-valued data, such as latents."""
    log_p = -0.5 * ((x_0 - mean) ** 2 / var + var.log() + math.log(2 * math.pi))
    return log_p.flatten(1).sum(dim=1)


def discretised(bins: int = 256) -> Decoder:
    r"""A decoder for data that take `bins` values, evenly from -1 to 1, such as the 256 values of a pixel.

        p(x_0 | x_1) = Phi((x_0 + 1/(bins-1) - mean) / std) - Phi((x_0 - 1/(bins-1) - mean) / std)

    with the outermost bins reaching to infinity, so that the probabilities of all bins add up to 1 (Ho et al. 2020,
    eq. 13). The difference is computed from logarithms: a value 20 standard deviations away has a probability of
    3e-89 and costs 294 bits. (Clamping probabilities at 1e-12, as is often done, would charge 40.)
    """
    half = 1 / (bins - 1)

    def decoder(x_0: Float[Tensor, "b *rest"], mean: Float[Tensor, "b *rest"], var: Tensor) -> Float[Tensor, "b"]:
        std = var.sqrt()
        upper = ((x_0 + half - mean) / std).masked_fill(x_0 > 1 - half, torch.inf)
        lower = ((x_0 - half - mean) / std).masked_fill(x_0 < -1 + half, -torch.inf)
        # To the right of the mean both Phi are nearly 1; by symmetry both become small, with the same difference.
        right = lower > 0
        lower, upper = torch.where(right, -upper, lower), torch.where(right, -lower, upper)
        return log_difference(log_ndtr(upper), log_ndtr(lower)).flatten(1).sum(dim=1)

    return decoder


def log_difference(log_a: Tensor, log_b: Tensor) -> Tensor:
    r"""log(a - b) from the logarithms of a > b."""
    return log_a + torch.log(-torch.expm1(log_b - log_a))
