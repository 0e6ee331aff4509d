import math

import pytest
import torch

from minidiffusion.data import toy

DENSITIES = {"two hills": toy.two_gaussians(), "circle": toy.circle_of_gaussians(), "rings": toy.Rings()}


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_integrate_to_1(name):
    side = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    log_p = torch.cat([DENSITIES[name].log_prob(torch.stack([x.expand_as(side), side], dim=1)) for x in side])
    assert log_p.exp().sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", DENSITIES)
def test_the_score_is_the_gradient_of_log_prob(name):
    density = DENSITIES[name]
    x = density.sample(200, torch.Generator().manual_seed(0)).requires_grad_()
    (gradient,) = torch.autograd.grad(density.log_prob(x).sum(), x)
    torch.testing.assert_close(density.score(x.detach()), gradient)


@pytest.mark.parametrize("name", ["two hills", "circle"])
def test_samples_have_the_mean_and_the_covariance(name):
    mixture, n = DENSITIES[name], 40_000
    x = mixture.sample(n, torch.Generator().manual_seed(0))
    std = mixture.covariance.diagonal().sqrt()
    assert ((x.mean(0) - mixture.mean).abs() < 4 * std / math.sqrt(n)).all()
    torch.testing.assert_close(x.T.cov(), mixture.covariance, rtol=0, atol=4 * std.max().item() ** 2 * math.sqrt(2 / n))


def test_samples_of_rings_lie_where_the_density_says():
    # The mean of -log p over samples is the entropy; computed here on a grid.
    rings, n = toy.Rings(), 40_000
    side = torch.linspace(-3, 3, 1501, dtype=torch.float64)
    log_p = torch.cat([rings.log_prob(torch.stack([x.expand_as(side), side], dim=1)) for x in side])
    entropy = -(log_p.exp() * log_p).nan_to_num().sum() * (side[1] - side[0]) ** 2
    sampled = -rings.log_prob(rings.sample(n, torch.Generator().manual_seed(0)))
    assert abs(sampled.mean() - entropy) < 4 * sampled.std() / math.sqrt(n)


def test_a_noised_mixture_is_the_mixture_of_noised_samples():
    n, generator = 40_000, torch.Generator().manual_seed(0)
    mixture = toy.two_gaussians()
    x = 0.6 * mixture.sample(n, generator) + 0.8 * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    noised = mixture.noised(0.6, 0.8)
    again = noised.sample(n, generator)
    difference = noised.log_prob(x).mean() - noised.log_prob(again).mean()
    assert abs(difference) < 4 * noised.log_prob(x).std() * math.sqrt(2 / n)
    torch.testing.assert_close(x.T.cov(), noised.covariance, rtol=0, atol=0.04)


@pytest.mark.parametrize("name", toy.POINTS)
def test_points_are_centred_and_of_unit_size_and_repeatable(name):
    x = toy.POINTS[name](5000, torch.Generator().manual_seed(3))
    assert x.shape == (5000, 2) and x.mean(0).abs().max() < 1e-5
    assert x.square().mean() == pytest.approx(1, abs=1e-5)
    assert torch.equal(x, toy.POINTS[name](5000, torch.Generator().manual_seed(3)))
