r"""Targets and proposals that only the tests of the samplers need: hard ones, with exact moments."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.forward import standard_normal_like
from minidiffusion.mcmc.metropolis import sum_of_state


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
        return x[:, 0], x[:, 1] - self.bend * (x[:, 0] ** 2 - self.width**2)


class DoubleWell(NamedTuple):
    r"""p(x) ~ exp(-height (x^2 - 1)^2) for every number of x: two modes at -1 and 1, and a barrier of `height` between.

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


class Multiplicative(NamedTuple):
    r"""to = x e^{step z}, z ~ N(0, I), for what is positive, such as a scale; every number keeps its sign.

        log q(to | x) = -(log to - log x)^2 / (2 step^2) - log to

    Not symmetric: the last term is 1 / to, what a step is stretched by on its way out of the logarithm.
    """

    step: float

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x * (self.step * standard_normal_like(x, generator)).exp()

    def log_q(self, to: Tensor, given: Tensor) -> Tensor:
        log_to, log_given = to.abs().log(), given.abs().log()
        return sum_of_state(-0.5 * ((log_to - log_given) / self.step) ** 2 - log_to)


class Independent(NamedTuple):
    r"""to ~ N(mean, std^2), wherever x is. Good if its tails are wider than the target's, and hopeless otherwise."""

    mean: Tensor | float
    std: Tensor | float

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.mean + self.std * standard_normal_like(x, generator)

    def log_q(self, to: Tensor, given: Tensor) -> Tensor:
        return sum_of_state(-0.5 * ((to - self.mean) / self.std) ** 2)
