import math

import pytest
import torch

from minidiffusion.data.toy import Rings, two_gaussians
from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.mcmc import target as targets
from minidiffusion.mcmc.target import Funnel, Gaussian, NoisedData, correlated, score
from tests.mcmc.examples import Banana, DoubleWell

TARGETS = {
    "gaussian": Gaussian(
        torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([[2.0, 0.9], [0.9, 0.8]], dtype=torch.float64)
    ),
    "100 dimensions": correlated(100, 0.5),
    "banana": Banana(),
    "funnel": Funnel(d=4, width=1.2),
    "double well": DoubleWell(),
    "two hills": two_gaussians(),
    "rings": Rings(),
}


class LogProbAlone:
    """The same target, without its own score."""

    def __init__(self, target):
        self.log_prob = target.log_prob


def points(target, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if isinstance(target, DoubleWell):
        return 1.5 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return target.sample(n, generator)


@pytest.mark.parametrize("name", TARGETS)
def test_the_score_is_the_gradient_of_log_prob_with_and_without_autograd(name):
    target = TARGETS[name]
    x = points(target, 200)
    torch.testing.assert_close(score(target, x), score(LogProbAlone(target), x), rtol=1e-9, atol=1e-9)
    assert not score(LogProbAlone(target), x).requires_grad and not x.requires_grad


@pytest.mark.parametrize("name", ["gaussian", "100 dimensions", "banana", "funnel"])
def test_samples_have_the_stated_mean_and_variance(name):
    target, n = TARGETS[name], 40_000
    x = points(target, n)
    for statistic, exact in ((x, target.mean), ((x - target.mean) ** 2, target.variance)):
        z = (statistic.mean(dim=0) - exact) / (statistic.std(dim=0) / math.sqrt(n))
        assert z.abs().max() < 4


def test_log_probs_against_torch_distributions():
    normal = torch.distributions.Normal
    gaussian, banana, funnel = TARGETS["gaussian"], TARGETS["banana"], TARGETS["funnel"]
    x = points(gaussian, 50)
    theirs = torch.distributions.MultivariateNormal(gaussian.mean, gaussian.covariance)
    torch.testing.assert_close(gaussian.log_prob(x), theirs.log_prob(x))
    x = points(banana, 50)
    bent = normal(banana.bend * (x[:, 0] ** 2 - banana.width**2), 1.0)
    torch.testing.assert_close(banana.log_prob(x), normal(0.0, banana.width).log_prob(x[:, 0]) + bent.log_prob(x[:, 1]))
    x = points(funnel, 50)
    others = normal(0.0, (x[:, :1] / 2).exp()).log_prob(x[:, 1:]).sum(dim=1)
    torch.testing.assert_close(funnel.log_prob(x), normal(0.0, funnel.width).log_prob(x[:, 0]) + others)


def test_correlated_is_what_it_says():
    covariance = correlated(3, 0.5).covariance
    expected = torch.tensor([[1.0, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(covariance, expected)
    width = torch.linalg.eigvalsh(correlated(300, 0.8).covariance).sqrt()
    assert 0.95 * 9 < width[-1] / width[0] < 9  # (1 + rho) / (1 - rho) = 9


@pytest.mark.parametrize("height", [0.5, 2.0, 8.0])
def test_the_variance_of_the_double_well_solves_its_own_equation(height):
    # E[x score(x)] = -1 for every density (integration by parts), so 4 height (E x^4 - E x^2) = 1.
    x = torch.linspace(-4, 4, 4001, dtype=torch.float64)[:, None]
    p = DoubleWell(height).log_prob(x).exp()
    fourth = (p * x[:, 0] ** 4).sum() / p.sum()
    assert 4 * height * (fourth - DoubleWell(height).variance) == pytest.approx(1, abs=1e-9)


def test_a_double_well_takes_states_of_any_shape():
    x = torch.randn(5, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(DoubleWell().log_prob(x), DoubleWell().log_prob(x.flatten(1)))
    torch.testing.assert_close(DoubleWell().log_prob(x[:, 0, 0, 0]), DoubleWell().log_prob(x[:, :1, 0, 0]))


@pytest.mark.parametrize("t", [1, 300, 999])
def test_noised_data_has_the_score_of_the_noised_mixture(t):
    schedule, mixture = make_schedule("cosine"), two_gaussians()
    noised = mixture.noised(schedule.alpha[t], schedule.sigma[t])
    x = noised.sample(100, torch.Generator().manual_seed(t))
    data = NoisedData(ideal.mixture(*mixture, schedule), schedule, t)
    torch.testing.assert_close(score(data, x), noised.score(x), rtol=1e-6, atol=1e-6)


def test_noised_data_keeps_the_shape_of_pictures_and_needs_noise():
    schedule = make_schedule("cosine")
    pictures = torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    denoise = ideal.finite_data(pictures, schedule)
    assert score(NoisedData(denoise, schedule, 500), pictures).shape == pictures.shape
    for t in (0, 1001):
        with pytest.raises(ValueError, match=f"t must be between 1 and 1000, got {t}"):
            NoisedData(denoise, schedule, t).score(pictures)


@pytest.mark.parametrize(
    "target, x, valid",
    [
        (
            correlated(3, 0.5),
            torch.zeros(4, 2, dtype=torch.float64),
            r"\(chains, 3\), got \(4, 2\)",
        ),
        (Funnel(), torch.zeros(4, 2, dtype=torch.float64), r"\(chains, 10\), got \(4, 2\)"),
    ],
)
def test_a_state_of_another_width_is_told_so(target, x, valid):
    for function in (targets.log_prob, targets.score):
        with pytest.raises(ValueError, match=valid):
            function(target, x)


def test_a_log_prob_that_is_not_one_number_a_chain_is_told_so():
    class ForgotToSum:
        def log_prob(self, x):
            return -0.5 * x**2

    with pytest.raises(ValueError, match=r"must have shape \(4,\), one number a chain, got \(4, 2\) for x of \(4, 2\)"):
        targets.log_prob(ForgotToSum(), torch.zeros(4, 2))
