import math
from itertools import islice

import pytest
import torch

from minidiffusion.data.toy import circle_of_gaussians, two_gaussians
from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.mcmc.langevin import annealed, mala, ula
from minidiffusion.mcmc.metropolis import collect, metropolis_hastings
from minidiffusion.mcmc.target import Gaussian, NoisedData, correlated
from tests.mcmc.examples import Banana


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def last(states, n):
    *_, state = islice(states, n)
    return state.x


# ------------------------------------------------------------------------------------------------ the bias


def test_ula_is_biased_as_the_formula_says_and_mala_is_not():
    c, std = 20_000, torch.tensor([0.8, 1.0, 2.0], dtype=torch.float64)
    target = Gaussian(torch.zeros(3, dtype=torch.float64), torch.diag(std**2))
    error = 4 * math.sqrt(2 / c)  # four standard errors of a variance, relative to it
    start = target.sample(c, torch.Generator().manual_seed(0))
    biases = []
    for step in (0.4, 0.2, 0.1):
        generator = torch.Generator().manual_seed(1)
        n = round(16 / step)  # the slowest coordinate forgets its start: (1 - step / 4)^(2 n) < 1e-3
        variance = last(ula(target, start, step=step, generator=generator), n).var(dim=0)
        exact = std**2 / (1 - step / (2 * std**2))
        assert ((variance / exact - 1).abs() < error).all(), step
        biases.append((variance / std**2 - 1)[0])
        adjusted = last(mala(target, start, step=step, generator=generator), min(n, 40)).var(dim=0)
        assert ((adjusted / std**2 - 1).abs() < error).all(), step
    # Of the narrowest: 0.45, 0.19, 0.085. Each is far outside the error of 0.04, and they halve.
    assert biases[0] > 2 * biases[1] > 4 * biases[2] - error and biases[2] > error


def test_mala_is_metropolis_with_the_langevin_step_as_its_proposal():
    step, target = 0.3, Banana()

    class LangevinStep:
        def mean(self, x):
            return x + step * target.score(x)

        def draw(self, x, generator):
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            return self.mean(x) + math.sqrt(2 * step) * z

        def log_q(self, to, given):
            return torch.distributions.Normal(self.mean(given), math.sqrt(2 * step)).log_prob(to).sum(dim=1)

    start = target.sample(50, torch.Generator().manual_seed(0))
    ours = collect(mala(target, start, step=step, generator=torch.Generator().manual_seed(1)), 50)
    theirs = collect(
        metropolis_hastings(target, start, proposal=LangevinStep(), generator=torch.Generator().manual_seed(1)), 50
    )
    assert 0.5 < ours.accepted.double().mean() < 0.99
    assert torch.equal(ours.accepted, theirs.accepted)
    torch.testing.assert_close(ours.x, theirs.x)


def test_mala_finds_its_step_in_the_warm_up_and_then_keeps_it():
    target = correlated(20, 0.5)
    states = mala(target, random(10, 20), step=1e-3, warmup=400, generator=torch.Generator().manual_seed(0))
    warm, draws = collect(states, 400), collect(states, 400)
    assert warm.step.unique().numel() > 300 and draws.step.unique().numel() == 1
    assert draws.accepted.double().mean() == pytest.approx(0.574, abs=0.04)


# ------------------------------------------------------------------------------------------------ a model's score


def test_ula_samples_the_noised_data_of_a_denoiser_in_the_shape_of_pictures():
    # Data N(mu, s^2) a pixel; x_t is N(alpha mu, v), v = alpha^2 s^2 + sigma^2, and ULA is as biased as it must be.
    mu, s, t, schedule = 0.5, 0.3, 300, make_schedule("cosine")
    alpha, sigma = schedule.alpha[t], schedule.sigma[t]
    v = alpha**2 * s**2 + sigma**2

    def denoise(x, t):
        x0 = (sigma**2 * mu + alpha * s**2 * x) / v
        return Prediction(x0, (x - alpha * x0) / sigma)

    step = 0.2 * v.item()
    generator = torch.Generator().manual_seed(1)
    x = last(ula(NoisedData(denoise, schedule, t), random(1500, 3, 4, 4), step=step, generator=generator), 40)
    assert x.shape == (1500, 3, 4, 4)
    biased = v / (1 - step / (2 * v))
    assert abs(x.mean() - alpha * mu) < 4 * math.sqrt(biased / x.numel())
    assert x.var() / biased == pytest.approx(1, abs=4 * math.sqrt(2 / x.numel()))


# ------------------------------------------------------------------------------------------------ annealing


def shares_p(x, mixture) -> float:
    """The p-value of the numbers of samples nearest to each mode (chi-squared test)."""
    k = len(mixture.weights)
    counts = torch.bincount(torch.cdist(x, mixture.means).argmin(dim=1), minlength=k)
    expected = mixture.weights * len(x)
    return torch.special.gammaincc(torch.tensor((k - 1) / 2), ((counts - expected) ** 2 / expected).sum() / 2).item()


EQUAL = circle_of_gaussians()
UNEQUAL = EQUAL._replace(weights=torch.tensor([1, 2, 3, 4, 4, 3, 2, 1], dtype=torch.float64) / 20)


@pytest.mark.parametrize("mixture", [EQUAL, UNEQUAL], ids=["equal", "unequal"])
def test_annealing_finds_all_modes_in_the_right_shares_and_langevin_alone_does_not(mixture):
    sigmas = torch.logspace(math.log10(3), math.log10(0.05), 20, dtype=torch.float64)
    levels = [mixture.noised(1.0, sigma) for sigma in sigmas]
    step, n, start = 0.1 * 0.05**2, 60, torch.tensor([[2.5, 0.5]], dtype=torch.float64).repeat(1000, 1)

    states = annealed(
        lambda x, i: levels[i].score(x), start, sigmas, step=step, n=n, generator=torch.Generator().manual_seed(0)
    )
    x = last(states, None)
    assert shares_p(x, mixture) > 1e-3
    # and each sample lies where that mode's Gaussian is: the mean squared distance is 2 (std^2 + sigma^2)
    squares = torch.cdist(x, mixture.means).amin(dim=1) ** 2
    assert squares.mean() == pytest.approx(2 * (0.12**2 + 0.05**2), rel=0.1)

    plain = last(ula(levels[-1], start, step=step, generator=torch.Generator().manual_seed(0)), n * len(sigmas))
    assert shares_p(plain, mixture) < 1e-12
    found = torch.bincount(torch.cdist(plain, mixture.means).argmin(dim=1), minlength=8) > 0
    assert found.sum() <= 4


def test_annealing_with_a_denoiser_along_its_own_schedule():
    # Variance preserved: the levels shrink as well. Between the last ones nothing crosses, so the shares are those of
    # a level before: exact for slow annealing, and within 0.04 here.
    mixture, schedule = two_gaussians(), make_schedule("cosine")
    times = schedule.times(40, dtype=torch.float64)
    denoise = ideal.mixture(*mixture, schedule)
    levels = [NoisedData(denoise, schedule, int(t)) for t in times.t[:-1]]
    start = torch.full((2000, 2), 3.0, dtype=torch.float64)
    step, generator = 0.1 * times.sigma[-2].item() ** 2, torch.Generator().manual_seed(0)
    x = last(
        annealed(lambda x, i: levels[i].score(x), start, times.sigma[:-1], step=step, n=30, generator=generator), None
    )
    assert mixture.log_share(x).exp().mean(dim=0)[0].item() == pytest.approx(0.3, abs=0.04)
    torch.testing.assert_close(x.T.cov(), mixture.covariance, rtol=0, atol=0.08)


def test_annealing_by_hand():
    seen = []

    def score(x, i):
        seen.append(i)
        return -x

    x = random(3, 1, 2, 2)
    generator = torch.Generator().manual_seed(4)
    states = collect(annealed(score, x, [4.0, 2.0, 1.0], step=0.01, n=2, generator=generator), 6)
    assert seen == [0, 0, 1, 1, 2, 2]
    torch.testing.assert_close(states.step, torch.tensor([0.16, 0.16, 0.04, 0.04, 0.01, 0.01], dtype=torch.float64))
    generator = torch.Generator().manual_seed(4)
    for step, ours in zip((0.16, 0.16, 0.04, 0.04, 0.01, 0.01), states.x, strict=True):
        x = x - step * x + math.sqrt(2 * step) * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        torch.testing.assert_close(ours, x)


@pytest.mark.parametrize(
    "sigmas, options, message",
    [
        ([1.0, 2.0], {"step": 0.1}, "sigmas must fall"),
        ([1.0, 0.0], {"step": 0.1}, "be greater than 0, got"),
        ([], {"step": 0.1}, r"got \[\]"),
        ([1.0], {"step": 0.0}, "step must be greater than 0, got 0.0"),
        ([1.0], {"step": 0.1, "n": 0}, "n must be greater than 0, got 0"),
    ],
)
def test_wrong_arguments_of_annealing_are_told_what_is_valid(sigmas, options, message):
    with pytest.raises(ValueError, match=message):
        next(annealed(lambda x, i: -x, random(3, 2), sigmas, **options))


def test_wrong_arguments_of_ula_are_told_what_is_valid():
    with pytest.raises(ValueError, match=r"step must be greater than 0, got -0\.1"):
        next(ula(Banana(), random(3, 2), step=-0.1))
    with pytest.raises(ValueError, match="floating-point numbers"):
        next(ula(Banana(), torch.zeros(3, 2, dtype=torch.int64), step=0.1))
