r"""The bound against what it must be: closed forms, sums to one, and a distribution whose likelihood is known."""

import math

import pytest
import torch

from minidiffusion.data.toy import GaussianMixture, two_gaussians
from minidiffusion.diffusion import ideal, objective
from minidiffusion.diffusion.bound import (
    discretised,
    gaussian,
    gaussian_kl,
    prior_term,
    reverse_variance,
    step_term,
    variational_bound,
)
from minidiffusion.diffusion.forward import choose_variance
from minidiffusion.diffusion.likelihood import log_likelihood
from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.schedule import make_schedule
from tests.unchecked import unchecked

PIXEL_VALUES = torch.linspace(-1, 1, 256, dtype=torch.float64)


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ the parts


def test_kl_is_that_of_torch():
    mean_q, mean_p = rand(100), rand(100, seed=1)
    var_q, var_p = rand(100, seed=2).exp(), rand(100, seed=3).exp()
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean_q, var_q.sqrt()), normal(mean_p, var_p.sqrt()))
    torch.testing.assert_close(gaussian_kl(mean_q, var_q, mean_p, var_p), expected)


@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.1, 0.999])
@pytest.mark.parametrize("std", [1e-3, 0.02, 1.0, 30.0])
def test_the_decoder_is_a_distribution_over_the_256_greys(mean, std):
    means, variances = (torch.full((256, 1), value).double() for value in (mean, std**2))
    log_p = discretised(256)(PIXEL_VALUES[:, None], means, variances)
    assert log_p.isfinite().all()
    assert log_p.exp().sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_decoder_charges_a_miss_by_20_sigma_in_full(side):
    # A bin much wider than sigma, whose near edge is 20 sigma away: p = Phi(-20) = 2.75e-89.
    x_0, half = PIXEL_VALUES[128:129, None], 1 / 255
    std = torch.full((1, 1), half / 10, dtype=torch.float64)
    mean = x_0 + side * (half + 20 * std)
    log_p = discretised(256)(x_0, mean, std**2)
    expected = math.log(2.753624118606233e-89)  # of scipy.stats.norm.sf(20)
    assert log_p.item() == pytest.approx(expected, rel=1e-9)
    assert -log_p.item() / math.log(2) == pytest.approx(294.2, abs=0.1)  # a clamp at 1e-12 would charge 39.9 bits


def test_narrow_bins_have_the_density_times_their_width():
    x_0, mean, var = PIXEL_VALUES[100:101, None], torch.tensor([[0.2]]).double(), torch.tensor([[4.0]]).double()
    expected = gaussian(x_0, mean, var) + math.log(2 / 255)
    torch.testing.assert_close(discretised(256)(x_0, mean, var), expected, rtol=0, atol=1e-6)


def test_the_prior_term_is_a_kl_divergence():
    schedule, x_0 = make_schedule("linear", 50), rand(20, 3)
    normal = torch.distributions.Normal
    q = normal(schedule.alpha[-1] * x_0, schedule.sigma[-1])
    expected = torch.distributions.kl_divergence(q, normal(torch.zeros_like(x_0), 1.0)).sum(1)
    torch.testing.assert_close(prior_term(schedule, x_0), expected)


def test_each_term_is_the_vlb_weight_times_the_error_of_x_0():
    # With sigma^2 = beta, KL(q || p) is the weighted squared error plus what the variances alone cost.
    schedule = make_schedule("linear", 30)
    x_0, x0_hat, x_t = rand(30, 4), rand(30, 4, seed=1), rand(30, 4, seed=2)
    t = torch.arange(1, 31)
    var = reverse_variance(schedule, t, x_0, "beta")
    terms = step_term(schedule, x_0, x_t, t, x0_hat, var) - step_term(schedule, x_0, x_t, t, x_0, var)
    error = (x_0 - x0_hat).square().sum(1)
    torch.testing.assert_close(terms, objective.weight("vlb", "x0", schedule, t) * error)


def test_learned_variances_lie_between_the_two():
    schedule, t, x = make_schedule("cosine", 100), torch.tensor([1, 2, 50, 100]), rand(4, 3)
    beta, tilde = (reverse_variance(schedule, t, x, choice).expand_as(x) for choice in ("beta", "beta_tilde"))
    for nu, expected in ((1.0, beta), (0.0, tilde), (0.5, (beta * tilde).sqrt())):
        got = reverse_variance(schedule, t, x, "learned", torch.full_like(x, nu))
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)
    assert (tilde > 0).all()  # also at t = 1, where beta_tilde is 0
    with pytest.raises(ValueError, match="must be one of beta, beta_tilde, learned, got 'small'"):
        unchecked(choose_variance)("small", beta, tilde)
    with pytest.raises(ValueError, match="this one has nu None"):
        reverse_variance(schedule, t, x, "learned")


# ------------------------------------------------------------------------------------------------ the whole


def test_for_gaussian_data_the_bound_is_the_likelihood_of_the_chain():
    # x_0 ~ N(0, 1) makes every x_t ~ N(0, 1), and with variance beta the reverse chain *is* the forward chain reversed.
    schedule = make_schedule("cosine", 20)
    normal = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.eye(2).double()[None])
    x_0 = rand(20_000, 2)
    got = variational_bound(
        ideal.mixture(*normal, schedule), schedule, x_0, variance="beta", generator=torch.Generator().manual_seed(1)
    )
    gap = got.total + normal.log_prob(x_0)
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(len(x_0)) + 1e-9


def gap(T, variance, n=40_000):
    """L_vlb - (-log p(x_0)) of the ideal denoiser: its mean over n draws, and the standard error of that."""
    mixture, schedule = two_gaussians(), make_schedule("cosine", T)
    x_0 = mixture.sample(n, torch.Generator().manual_seed(0))
    denoise, generator = ideal.mixture(*mixture, schedule), torch.Generator().manual_seed(T)
    got = variational_bound(denoise, schedule, x_0, variance=variance, generator=generator)
    got = got.total + mixture.log_prob(x_0)
    return got.mean().item(), got.std().item() / math.sqrt(n)


@pytest.mark.slow
def test_the_bound_lies_above_and_closes_in_as_T_grows():
    (ten, _), (thirty, _), (hundred, error) = [gap(T, "beta") for T in (10, 30, 100)]
    assert ten > 0.3 and thirty < 0.4 * ten and hundred < 0.4 * thirty
    assert hundred > -4 * error


def test_with_the_variance_of_a_single_point_the_bound_stays_open():
    # beta_tilde is right if the data are one point. These are spread, and the first steps are charged for it, always.
    assert gap(100, "beta_tilde", n=4000)[0] > 0.5


def test_a_worse_denoiser_needs_more_bits():
    schedule, mixture = make_schedule("cosine", 30), two_gaussians()
    best, x_0 = ideal.mixture(*mixture, schedule), mixture.sample(2000, torch.Generator().manual_seed(0))

    def worse(x_t, t):
        return Prediction(0.9 * best(x_t, t).x0, x_t)

    def nats(denoise):
        return variational_bound(denoise, schedule, x_0, generator=torch.Generator().manual_seed(1)).total.mean()

    assert nats(worse) > nats(best) + 0.1


def test_bits_per_dim_of_the_parts_add_up():
    schedule = make_schedule("cosine", 5)
    got = variational_bound(lambda x, t: Prediction(x, x), schedule, rand(3, 2, 4), decoder=discretised(16))
    assert got.dimensions == 8 and got.steps.shape == (3, 5)
    parts = got.bits_per_dim(got.prior) + got.bits_per_dim(got.steps).sum(1)
    torch.testing.assert_close(parts, got.total / (8 * math.log(2)))


# ------------------------------------------------------------------------------------------------ the ODE's likelihood


@pytest.mark.parametrize("name", ["cosine", "sigmoid", "flow"])
def test_the_ode_gives_the_known_likelihood(name):
    schedule, mixture = make_schedule(name), two_gaussians()
    x_0 = torch.cat([mixture.sample(50, torch.Generator().manual_seed(0)), rand(20, 2)])
    got = log_likelihood(ideal.mixture(*mixture, schedule), schedule, x_0)
    assert (got - mixture.log_prob(x_0)).abs().max() < 0.02


def test_hutchinson_is_right_on_average():
    schedule, mixture = make_schedule("cosine", 200), two_gaussians()
    x_0 = mixture.sample(1, torch.Generator().manual_seed(0)).expand(2000, 2)
    denoise = ideal.mixture(*mixture, schedule)
    estimates = log_likelihood(denoise, schedule, x_0, steps=50, probes=1, generator=torch.Generator().manual_seed(0))
    exact = log_likelihood(denoise, schedule, x_0[:1], steps=50)
    assert estimates.std() > 1e-3  # it is an estimate
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / math.sqrt(2000)
