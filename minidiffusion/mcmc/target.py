r"""Targets: what can be sampled is what has the logarithm of its density, or its gradient (article 3.2).

    log_prob(x)     log p(x) for each chain, up to a constant that no sampler needs
    score(x)        its gradient; if a target has none, autograd finds it

x has the shape `c *rest`: c chains, each with a state of any shape: a number, a vector or a picture.
`data.toy.GaussianMixture` and `data.toy.Rings` are targets too. `Gaussian` and `Funnel` have a known mean and variance
and can be sampled directly, so that samplers can be tested.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.prediction import Denoise
from minidiffusion.diffusion.schedule import Schedule


@runtime_checkable
class Target(Protocol):
    r"""Has the log density of each chain, `c`, at x, `c *rest`. Without a method `score`, autograd is used."""

    def log_prob(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class Scored(Protocol):
    r"""Has the gradient of the log density, in the shape of x."""

    def score(self, x: Tensor, /) -> Tensor: ...


def log_prob(target: Target, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c"]:
    r"""log p(x) for each chain. Raises ValueError if the target gives anything but one number for each."""
    with torch.no_grad():
        value = target.log_prob(x)
    if value.shape != x.shape[:1]:
        got, valid = tuple(value.shape), tuple(x.shape[:1])
        raise ValueError(f"log_prob must have shape {valid}, one number a chain, got {got} for x of {tuple(x.shape)}")
    return value


def score(target: Target | Scored, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c *rest"]:
    r"""The gradient of log p at x: the target's own, else by autograd, which is right as chains do not interact."""
    if isinstance(target, Scored):
        with torch.no_grad():
            return target.score(x)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(target.log_prob(x).sum(), x)
    return gradient


# ------------------------------------------------------------------------------------------------- examples


@dataclass(frozen=True, eq=False)
class Gaussian:
    r"""N(mean, covariance) in d dimensions. A draw is mean + L z with z ~ N(0, I) and L L^T the covariance."""

    mean: Float[Tensor, "d"]
    covariance: Float[Tensor, "d d"]

    @cached_property
    def root(self) -> Float[Tensor, "d d"]:
        return torch.linalg.cholesky(self.covariance)

    @cached_property
    def precision(self) -> Float[Tensor, "d d"]:
        return torch.cholesky_inverse(self.root)

    @property
    def variance(self) -> Float[Tensor, "d"]:
        return self.covariance.diagonal()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        z = torch.randn(n, len(self.mean), generator=generator, dtype=self.mean.dtype)
        return self.mean + z @ self.root.T

    def log_prob(self, x: Float[Tensor, "c d"]) -> Float[Tensor, "c"]:
        log_norm = 0.5 * len(self.mean) * math.log(2 * math.pi) + self.root.diagonal().log().sum()
        return 0.5 * (self.score(x) * (x - self.mean)).sum(dim=1) - log_norm

    def score(self, x: Float[Tensor, "c d"]) -> Float[Tensor, "c d"]:
        _check_width(x, len(self.mean))
        return (self.mean - x) @ self.precision


def correlated(d: int, rho: float) -> Gaussian:
    r"""A Gaussian whose coordinates all have variance 1, and correlation rho^|i - j|.

    The standard deviations along its axes differ by a factor of up to (1 + rho) / (1 - rho), which makes it hard.
    """
    index = torch.arange(d, dtype=torch.float64)
    return Gaussian(torch.zeros(d, dtype=torch.float64), rho ** (index[:, None] - index).abs())


class Funnel(NamedTuple):
    r"""Neal's funnel (Neal 2003, section 8): v ~ N(0, width^2) is the first coordinate, the others are N(0, e^v).

    Where v is small it is narrower than any fixed step, where v is large wider than many of them: the standard test of
    HMC, whose trajectories diverge in the neck. The variance of the others is e^{width^2 / 2}, but an estimate from
    samples rarely reaches it, so heavy are the tails.
    """

    d: int = 10
    width: float = 3.0

    @property
    def mean(self) -> Float[Tensor, "d"]:
        return torch.zeros(self.d, dtype=torch.float64)

    @property
    def variance(self) -> Float[Tensor, "d"]:
        others = [math.exp(self.width**2 / 2)] * (self.d - 1)
        return torch.tensor([self.width**2, *others], dtype=torch.float64)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        z = torch.randn(n, self.d, generator=generator, dtype=torch.float64)
        v = self.width * z[:, :1]
        return torch.cat([v, (v / 2).exp() * z[:, 1:]], dim=1)

    def log_prob(self, x: Float[Tensor, "c d"]) -> Float[Tensor, "c"]:
        v, others = self._parts(x)
        log_norm = 0.5 * self.d * math.log(2 * math.pi) + math.log(self.width)
        log_v = -0.5 * (v / self.width) ** 2
        log_others = -0.5 * (others**2 * (-v).exp() + v)
        return torch.cat([log_v, log_others], dim=1).sum(dim=1) - log_norm

    def score(self, x: Float[Tensor, "c d"]) -> Float[Tensor, "c d"]:
        v, others = self._parts(x)
        score_others = -others * (-v).exp()
        score_v = -v / self.width**2 - 0.5 * (score_others * others + 1).sum(dim=1, keepdim=True)
        return torch.cat([score_v, score_others], dim=1)

    def _parts(self, x: Tensor) -> tuple[Float[Tensor, "c 1"], Float[Tensor, "c rest"]]:
        _check_width(x, self.d)
        return x[:, :1], x[:, 1:]


def _check_width(x: Tensor, d: int) -> None:
    if x.ndim != 2 or x.shape[1] != d:
        raise ValueError(f"x must have the shape (chains, {d}), got {tuple(x.shape)}")


# ------------------------------------------------------------------------------------------------- denoisers


class NoisedData(NamedTuple):
    r"""x_t = alpha_t x_0 + sigma_t eps at one time t in 1..T, of which a denoiser gives the score.

        score = -eps_hat / sigma_t      (Song & Ermon 2019; `diffusion.prediction`)

    It has no log_prob, which the accept rule needs, so it is for `ula` and `annealed`. `score` raises ValueError for a
    t outside 1..T; at 0 there is no noise to predict.
    """

    denoise: Denoise
    schedule: Schedule
    t: int

    def score(self, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c *rest"]:
        if not 1 <= self.t <= self.schedule.T:
            raise ValueError(f"t must be between 1 and {self.schedule.T}, got {self.t}")
        return -self.denoise(x, torch.tensor(self.t)).eps / self.schedule.sigma[self.t].to(x)
