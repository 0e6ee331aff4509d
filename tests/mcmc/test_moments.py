r"""Every sampler on targets whose mean and variance are known: 10 chains of 5,000 draws, judged by their own MCSE.

Where a sampler is expected to mix, all means and variances must be within 4 standard errors and R-hat below 1.01; where
it is known not to, the diagnostics must say so.
"""

import pytest
import torch

from minidiffusion.data.toy import GaussianMixture, Rings, two_gaussians
from minidiffusion.mcmc.diagnostics import ebfmi, ess_bulk, ess_tail, mcse, rhat
from minidiffusion.mcmc.hamiltonian import hmc
from minidiffusion.mcmc.langevin import mala
from minidiffusion.mcmc.metropolis import collect, metropolis_hastings
from minidiffusion.mcmc.target import Funnel, correlated
from tests.mcmc.examples import Banana, DoubleWell, Independent

C, N, WARMUP = 10, 5000, 300


def run(sampler, target, d, *, draws=N, **options):
    r"""The draws after a warm-up."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(C, d, generator=generator, dtype=torch.float64)
    states = sampler(target, x, generator=generator, **options)
    collect(states, WARMUP)
    return collect(states, draws)


def moments(target):
    match target:
        case GaussianMixture():
            return target.mean, target.covariance.diagonal()
        case Rings():  # |x|^2 is r^2 + width^2 on average, half of it along each axis
            square = (target.radii.square().mean() + target.width**2) / 2
            return torch.zeros(2, dtype=torch.float64), square.expand(2)
    return target.mean, target.variance


def z_scores(draws, target):
    mean, variance = moments(target)
    squares = (draws - mean) ** 2
    return torch.cat(
        [(draws.mean(dim=(0, 1)) - mean) / mcse(draws), (squares.mean(dim=(0, 1)) - variance) / mcse(squares)]
    )


MIXES = {
    "gaussian by metropolis": (metropolis_hastings, correlated(2, 0.8), 2, {"step": 1.2}),
    "100 dimensions by hmc": (hmc, correlated(100, 0.5), 100, {"step": 0.1, "n": 4, "warmup": WARMUP}),
    "banana by metropolis": (metropolis_hastings, Banana(), 2, {"step": 2.4}),
    "short banana by mala": (mala, Banana(width=1.0, bend=0.5), 2, {"step": 0.6}),
    "banana by hmc": (hmc, Banana(), 2, {"step": 0.7, "n": 4}),
    "double well by metropolis": (metropolis_hastings, DoubleWell(), 1, {"step": 1.2}),
    "two hills by metropolis": (metropolis_hastings, two_gaussians(), 2, {"step": 1.5}),
    "rings by independent proposals": (metropolis_hastings, Rings(), 2, {"proposal": Independent(0.0, 1.4)}),
}


@pytest.mark.parametrize("name", MIXES)
def test_mean_and_variance_are_right(name):
    sampler, target, d, options = MIXES[name]
    draws = run(sampler, target, d, **options).x
    z = z_scores(draws, target)
    assert z.abs().max() < 4, z
    few = draws[..., :: max(1, d // 5)]  # R-hat of a hundred coordinates takes longer than drawing them
    assert rhat(few).max() < 1.01 and ess_bulk(few).min() > 400


def test_a_random_walk_is_lost_in_100_dimensions():
    draws = run(metropolis_hastings, correlated(100, 0.5), 100, draws=1000, step=0.2)
    assert 0.1 < draws.accepted.double().mean() < 0.5
    assert rhat(draws.x[..., ::20]).min() > 1.1 and ess_bulk(draws.x[..., ::20]).max() < 100


def test_small_steps_stay_on_the_hill_or_the_ring_where_they_are():
    for target in (two_gaussians(), Rings()):
        assert rhat(run(mala, target, 2, draws=500, step=0.01).x).max() > 1.1


def test_the_neck_of_the_funnel_is_too_narrow_for_a_fixed_step():
    v = Funnel().variance[0]
    for sampler, options in ((metropolis_hastings, {"step": 1.0}), (mala, {"step": 0.1}), (hmc, {"step": 0.2})):
        draws = run(sampler, Funnel(), 10, draws=1000, **options)
        neck = draws.x[..., 0]
        assert rhat(neck) > 1.1 and ess_tail(neck) < 100, sampler
        assert (neck < -6).double().mean() < 0.5 * 0.0228, sampler  # P(v < -6) = P(z < -2)
        assert neck.var() < 0.75 * v, sampler
    assert draws.divergent.double().mean() > 0.001
    assert ebfmi(draws.energy).min() < 0.3


def test_the_same_funnel_is_easy_in_other_coordinates():
    # v = 3 z_1, x_i = e^{v/2} z_i: in z it is a standard Gaussian, and the diagnostics are content.
    draws = run(hmc, correlated(10, 0.0), 10, draws=2000, step=0.5, n=4)
    neck = Funnel().width * draws.x[..., :1]
    others = (neck / 2).exp() * draws.x[..., 1:]
    assert rhat(torch.cat([neck, others], dim=-1)).max() < 1.01
    assert not draws.divergent.any() and ebfmi(draws.energy).min() > 0.7
    assert abs((neck.square().mean() - Funnel().variance[0]) / mcse(neck.square()[..., 0])) < 4


def test_the_check_can_fail():
    target, generator = Banana(), torch.Generator().manual_seed(0)
    draws = target.sample(C * N, generator).reshape(N, C, 2)
    assert z_scores(draws, target).abs().max() < 4
    for wrong in (draws + 0.05, 1.03 * draws, draws.flip(2)):
        assert z_scores(wrong, target).abs().max() > 4
