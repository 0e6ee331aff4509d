r"""What can be sampled: whatever knows the logarithm of its density, or the slope of that (article 3.2).

    log_prob(x)     log p(x) for each chain, up to a constant that no sampler needs
    score(x)        its gradient; if a target has none, autograd finds it

x has the shape `c *rest`: c chains side by side, each with a state of any shape, be it a number, a vector or a picture.
`data.toy.GaussianMixture` and `data.toy.Rings` are targets too. Those below know their mean and variance, and (but for
one) how to draw from themselves without any chain, so that whatever a sampler claims can be checked.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.schedule import Schedule


@runtime_checkable
class Target(Protocol):
    r"""Has the log density of each chain, `c`, at x, `c *rest`. A `score` is welcome."""

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
        raise ValueError(f"log_prob gave shape {got} for x of shape {tuple(x.shape)}; valid is {valid}, one a chain")
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


# ------------------------------------------------------------------------------------------------- ready-made targets


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

    The widest and the narrowest direction differ by up to (1 + rho) / (1 - rho) in width, which is what makes it hard.
    """
    index = torch.arange(d, dtype=torch.float64)
    return Gaussian(torch.zeros(d, dtype=torch.float64), rho ** (index[:, None] - index).abs())


class Banana(NamedTuple):
    r"""A bent Gaussian (Haario et al. 1999): x_1 ~ N(0, width^2), x_2 = bend (x_1^2 - width^2) + N(0, 1).

    Bending changes no volume, so the density is that of the Gaussian before; means are 0, the variance of x_2 is
    1 + 2 bend^2 width^4.
    """

    width: float = 2.0
    bend: float = 0.25

    @property
    def mean(self) -> Float[Tensor, "2"]:
        return torch.zeros(2, dtype=torch.float64)

    @property
    def variance(self) -> Float[Tensor, "2"]:
        return torch.tensor([self.width**2, 1 + 2 * self.bend**2 * self.width**4], dtype=torch.float64)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n 2"]:
        z_1, z_2 = torch.randn(2, n, generator=generator, dtype=torch.float64)
        return torch.stack([self.width * z_1, z_2 + self.bend * self.width**2 * (z_1**2 - 1)], dim=1)

    def log_prob(self, x: Float[Tensor, "c d"]) -> Float[Tensor, "c"]:
        x_1, straight = self._straightened(x)
        return -0.5 * ((x_1 / self.width) ** 2 + straight**2) - math.log(2 * math.pi * self.width)

    def score(self, x: Float[Tensor, "c d"]) -> Float[Tensor, "c d"]:
        x_1, straight = self._straightened(x)
        return torch.stack([-x_1 / self.width**2 + 2 * self.bend * x_1 * straight, -straight], dim=1)

    def _straightened(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _check_width(x, 2)
        return x[:, 0], x[:, 1] - self.bend * (x[:, 0] ** 2 - self.width**2)


class Funnel(NamedTuple):
    r"""Neal's funnel (Neal 2003, section 8): v ~ N(0, width^2) is the first coordinate, the others are N(0, e^v).

    Its neck, where v is small, is narrower than any fixed step; its mouth is wider than any number of them. The
    variance of the others is e^{width^2 / 2}, but hardly any sample is large enough to show it.
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
        pull = -others * (-v).exp()
        return torch.cat([-v / self.width**2 - 0.5 * (pull * others + 1).sum(dim=1, keepdim=True), pull], dim=1)

    def _parts(self, x: Tensor) -> tuple[Float[Tensor, "c 1"], Float[Tensor, "c rest"]]:
        _check_width(x, self.d)
        return x[:, :1], x[:, 1:]


class DoubleWell(NamedTuple):
    r"""p(x) ~ exp(-height (x^2 - 1)^2) for every number of x: two valleys at -1 and 1, and a hill of `height` between.

    For states of any shape. The constant is unknown, and it has no `sample`; mean and variance are those of one number.
    """

    height: float = 2.0

    @property
    def mean(self) -> Float[Tensor, ""]:
        return torch.zeros((), dtype=torch.float64)

    @property
    def variance(self) -> Float[Tensor, ""]:
        r"""By the trapezoidal rule, which is exact to rounding for a smooth function that dies out at both ends."""
        x = torch.linspace(-6, 6, 2001, dtype=torch.float64)
        p = (-self.height * (x**2 - 1) ** 2).exp()
        return (p * x**2).sum() / p.sum()

    def log_prob(self, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c"]:
        return -self.height * ((x**2 - 1) ** 2).reshape(len(x), -1).sum(dim=1)

    def score(self, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c *rest"]:
        return -4 * self.height * x * (x**2 - 1)


def _check_width(x: Tensor, d: int) -> None:
    if x.ndim != 2 or x.shape[1] != d:
        raise ValueError(f"x has shape {tuple(x.shape)}; valid for this target is (chains, {d})")


# ------------------------------------------------------------------------------------------------- a trained model


class NoisedData(NamedTuple):
    r"""x_t = alpha_t x_0 + sigma_t eps at one time t in 1..T, as a denoiser knows it: by its score alone.

        score = -eps_hat / sigma_t      (Song & Ermon 2019; `diffusion.prediction`)

    Without log_prob there is nothing to accept or reject by: it is for `ula` and `annealed`. score raises ValueError
    for a t outside 1..T; at 0 there is no noise to predict.
    """

    denoise: Callable[[Tensor, Tensor], Prediction]
    schedule: Schedule
    t: int

    def score(self, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c *rest"]:
        if not 1 <= self.t <= self.schedule.T:
            raise ValueError(f"t is {self.t}; noised data has a score at times 1 to {self.schedule.T}")
        return -self.denoise(x, torch.tensor(self.t)).eps / self.schedule.sigma[self.t].to(x)
