r"""Does a sampler leave the posterior of a model alone? Two tests that need no look at the posterior itself.

    Geweke 2004             draw theta from the prior, y given theta, theta given y by transitions of the sampler, y
                            given theta, and so on: if the sampler is right, theta is from the prior for ever
    Talts et al. 2018       simulation-based calibration: theta from the prior, y given theta, L draws of theta given y:
                            if the sampler is right, theta's rank among them is any of 0..L with equal probability

The models are conjugate: a Gaussian's mean, with a Gaussian prior, and its precision, with a Gamma prior. All
experiments run side by side, each as one chain with data of its own.
"""

import math
from functools import partial
from typing import NamedTuple

import pytest
import torch

from minidiffusion.mcmc.hamiltonian import hmc
from minidiffusion.mcmc.langevin import mala, ula
from minidiffusion.mcmc.metropolis import collect, metropolis_hastings
from tests.mcmc.examples import Independent, Multiplicative


class Mean(NamedTuple):
    r"""theta ~ N(0, 1), y_i ~ N(theta, 1); y: `c m`, one row for each chain."""

    y: torch.Tensor

    @staticmethod
    def prior(c, generator):
        return torch.randn(c, 1, generator=generator, dtype=torch.float64)

    @classmethod
    def given(cls, theta, generator):
        return cls(theta + torch.randn(len(theta), 3, generator=generator, dtype=torch.float64))

    @staticmethod
    def cdf(theta):
        return torch.special.ndtr(theta)

    def log_prob(self, theta):
        return -0.5 * theta[:, 0] ** 2 - 0.5 * ((self.y - theta) ** 2).sum(dim=1)


class Precision(NamedTuple):
    r"""theta ~ Gamma(3, rate 2), y_i ~ N(0, 1 / theta). For theta < 0 log_prob is NaN."""

    y: torch.Tensor

    @staticmethod
    def prior(c, generator):
        # Gamma(3) is the sum of three exponentials.
        return -torch.rand(c, 3, generator=generator, dtype=torch.float64).log().sum(dim=1, keepdim=True) / 2

    @classmethod
    def given(cls, theta, generator):
        return cls(torch.randn(len(theta), 3, generator=generator, dtype=torch.float64) / theta.sqrt())

    @staticmethod
    def cdf(theta):
        return torch.special.gammainc(torch.tensor(3.0, dtype=torch.float64), 2 * theta)

    def log_prob(self, theta):
        theta, m = theta[:, 0], self.y.shape[1]
        return (2 + m / 2) * theta.log() - 2 * theta - 0.5 * theta * (self.y**2).sum(dim=1)


SAMPLERS = {
    "mean, random walk": (Mean, partial(metropolis_hastings, step=1.0)),
    "mean, independent": (Mean, partial(metropolis_hastings, proposal=Independent(0.5, 1.2))),
    "mean, mala": (Mean, partial(mala, step=0.3)),
    "mean, hmc": (Mean, partial(hmc, step=0.7, n=3)),
    "precision, random walk": (Precision, partial(metropolis_hastings, step=1.0)),
    "precision, multiplicative": (Precision, partial(metropolis_hastings, proposal=Multiplicative(0.6))),
    "precision, mala": (Precision, partial(mala, step=0.2)),
    "precision, hmc": (Precision, partial(hmc, step=0.5, n=3)),
}


def ks_p(u) -> float:
    r"""The p-value of the Kolmogorov-Smirnov test that u are even on 0..1 (Kolmogorov's series, for many of them)."""
    u, n = u.flatten().sort().values, u.numel()
    ranks = torch.arange(n + 1, dtype=torch.float64) / n
    distance = torch.maximum((u - ranks[:-1]).max(), (ranks[1:] - u).max())
    k = torch.arange(1, 101, dtype=torch.float64)
    return (2 * (-1) ** (k - 1) * torch.exp(-2 * k**2 * n * distance**2)).sum().clamp(0, 1).item()


def even_p(ranks, values: int, bins: int = 10) -> float:
    r"""The p-value of the chi-squared test that ranks are even on 0..values - 1."""
    counts = torch.bincount(ranks * bins // values, minlength=bins)
    expected = len(ranks) / bins
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    return torch.special.gammaincc(torch.tensor((bins - 1) / 2), chi_squared / 2).item()


# ------------------------------------------------------------------------------------------------ Geweke


def geweke(model, sampler, c=10_000, sweeps=25):
    r"""theta at the start and at the end, of c experiments."""
    generator = torch.Generator().manual_seed(0)
    theta = start = model.prior(c, generator)
    for _ in range(sweeps):
        states = sampler(model.given(theta, generator), theta, generator=generator)
        theta = collect(states, 2).x[-1]  # two, so that what it keeps of the state from one to the next is used
    return start, theta


@pytest.mark.parametrize("name", SAMPLERS)
def test_geweke_the_joint_distribution_stays(name):
    model, sampler = SAMPLERS[name]
    start, theta = geweke(model, sampler)
    assert ks_p(model.cdf(start)) > 1e-3
    assert ks_p(model.cdf(theta)) > 1e-3
    assert torch.corrcoef(torch.cat([start, theta], dim=1).T)[0, 1] < 0.3  # they have moved


def test_geweke_notices_a_sampler_that_is_slightly_wrong():
    class Symmetric(NamedTuple):
        r"""A multiplicative move that claims to be symmetric."""

        step: float

        def draw(self, x, generator):
            return Multiplicative(self.step).draw(x, generator)

        def log_q(self, to, given):
            return torch.zeros(len(to), dtype=to.dtype)

    for model, sampler in (
        (Mean, partial(ula, step=0.1)),
        (Precision, partial(metropolis_hastings, proposal=Symmetric(0.6))),
    ):
        assert ks_p(model.cdf(geweke(model, sampler)[1])) < 1e-3


# ------------------------------------------------------------------------------------------------ calibration


def ranks(model, sampler, replications=200, L=99, thin=8):
    r"""theta's rank among L draws from its posterior, for each replication."""
    generator = torch.Generator().manual_seed(0)
    theta = model.prior(replications, generator)
    states = sampler(model.given(theta, generator), model.prior(replications, generator), generator=generator)
    collect(states, 100)
    draws = collect(states, L * thin).x[thin - 1 :: thin]
    return (draws < theta).sum(dim=0).flatten()


@pytest.mark.parametrize("name", SAMPLERS)
def test_simulation_based_calibration(name):
    assert even_p(ranks(*SAMPLERS[name]), 100) > 1e-3


def test_calibration_notices_a_posterior_that_is_too_narrow_or_beside_the_point():
    class TooSure(Mean):
        def log_prob(self, theta):
            return 2.5 * super().log_prob(theta)

    class Shifted(Mean):
        def log_prob(self, theta):
            return super().log_prob(theta - 0.4)

    for wrong in (TooSure, Shifted):
        assert even_p(ranks(wrong, partial(metropolis_hastings, step=1.0)), 100) < 1e-3


def test_the_p_values_are_right():
    u = torch.rand(400, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = torch.tensor([ks_p(row) for row in u])
    counted = torch.randint(0, 100, (400, 200), generator=torch.Generator().manual_seed(1))
    q = torch.tensor([even_p(row, 100) for row in counted])
    for values in (p, q):
        assert abs((values < 0.1).double().mean() - 0.1) < 4 * math.sqrt(0.09 / 400)
