r"""Samplers against data whose best denoiser is known in closed form, so that nothing here depends on a training.

For x_0 ~ N(mu, c^2), E[x_0 | x_t] = (sigma^2 mu + alpha c^2 x_t) / (alpha^2 c^2 + sigma^2), and the probability-flow
ODE maps x_T to mu + c * (x_T - alpha_T mu) / sqrt(alpha_T^2 c^2 + sigma_T^2) exactly.
"""

import math
import subprocess
import sys
from typing import get_args

import pytest
import torch

from minidiffusion.data.toy import two_gaussians
from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.sampler import SAMPLERS, SamplerName, ddim, ddpm, dpm_solver_pp, euler, heun, plms
from minidiffusion.diffusion.schedule import Times, from_alpha_bar, make_schedule

MU, C = 2.0, 0.5
SCHEDULE = make_schedule("cosine")


def ideal_of_a_gaussian(x, t):
    alpha, sigma = SCHEDULE.alpha[t].to(x), SCHEDULE.sigma[t].to(x)
    x0 = (sigma**2 * MU + alpha * C**2 * x) / (alpha**2 * C**2 + sigma**2)
    return Prediction(x0, (x - alpha * x0) / sigma)


def times64(n: int) -> Times:
    return SCHEDULE.times(n, dtype=torch.float64)


def noise_from(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_ideal_denoiser_gives_the_data_back(name):
    n = 20_000
    x_T = torch.randn(n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    *_, last = SAMPLERS[name](ideal_of_a_gaussian, x_T, times64(500), noise=noise_from(1))
    assert last.t == 0
    assert abs(last.x.mean() - MU) < 4 * C / math.sqrt(n)
    assert last.x.std() == pytest.approx(C, abs=4 * C / math.sqrt(2 * n) + 0.003)  # 0.003: what 500 steps discretise


def slope(sampler) -> float:
    # Start at t = 990: at T itself alpha is 0 and the first step has no order. The error is over the whole way to 0.
    x_T = torch.tensor([[-1.5], [0.3], [1.2]], dtype=torch.float64)
    errors = []
    for n in (20, 40, 80, 160):
        t = torch.linspace(990, 30, n + 1).round().long()
        alpha, sigma = SCHEDULE.alpha[t], SCHEDULE.sigma[t]
        *_, last = sampler(ideal_of_a_gaussian, x_T, Times(t, alpha, sigma))
        spread = (alpha**2 * C**2 + sigma**2).sqrt()
        exact = alpha[-1] * MU + spread[-1] * (x_T - alpha[0] * MU) / spread[0]
        errors.append((last.x - exact).abs().max().log2())
    return ((errors[0] - errors[-1]) / 3).item()


def test_order_of_convergence():
    assert slope(ddim) == pytest.approx(1, abs=0.15)
    assert slope(euler) == slope(ddim)
    assert slope(heun) == pytest.approx(2, abs=0.25)
    assert slope(plms) > 1.75
    assert slope(dpm_solver_pp) == pytest.approx(2, abs=0.25)


def test_ddim_with_eta_1_is_ddpm():
    x_T = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = [step.x for step in ddim(ideal_of_a_gaussian, x_T, times64(20), eta=1.0, noise=noise_from(3))]
    b = [step.x for step in ddpm(ideal_of_a_gaussian, x_T, times64(20), noise=noise_from(3))]
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_last_step_is_the_last_x0_and_draws_no_noise(name):
    *_, last = SAMPLERS[name](
        ideal_of_a_gaussian, torch.ones(2, 1, dtype=torch.float64), times64(7), noise=noise_from(0)
    )
    torch.testing.assert_close(last.x, last.x0_hat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_ddpm_ends_without_noise_whatever_its_variance(variance):
    x_T = torch.ones(2, 1, dtype=torch.float64)
    *_, last = ddpm(ideal_of_a_gaussian, x_T, times64(7), variance=variance, noise=noise_from(0))
    torch.testing.assert_close(last.x, last.x0_hat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("nu, same_as", [(0.0, "beta_tilde"), (1.0, "beta")])
def test_a_learned_variance_lies_between_the_two(nu, same_as):
    def ends(variance):
        def denoise(x, t):
            return ideal_of_a_gaussian(x, t)._replace(nu=torch.full_like(x, nu))

        x_T = torch.ones(5, 1, dtype=torch.float64)
        return [step.x for step in ddpm(denoise, x_T, times64(7), variance=variance, noise=noise_from(0))]

    torch.testing.assert_close(ends("learned"), ends(same_as), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="this one has nu None"):
        next(ddpm(ideal_of_a_gaussian, torch.ones(5, 1, dtype=torch.float64), times64(7), variance="learned"))


def test_for_standard_normal_data_beta_is_the_right_variance_and_beta_tilde_too_small():
    # Then x_t is standard normal at every t, and E[x_0 | x_t] = alpha x_t.
    def denoise(x, t):
        alpha, sigma = SCHEDULE.alpha[t], SCHEDULE.sigma[t]
        return Prediction(alpha * x, sigma * x)

    x_T = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = {v: [*ddpm(denoise, x_T, times64(10), variance=v, noise=noise_from(1))] for v in ("beta", "beta_tilde")}
    assert ends["beta"][-2].x.std() == pytest.approx(1, abs=4 / math.sqrt(40_000))
    assert ends["beta_tilde"][-2].x.std() < 0.95


# ------------------------------------------------------------------------------------------------ gradients


def test_the_names_in_the_annotation_are_those_of_the_table():
    assert get_args(SamplerName) == tuple(SAMPLERS)


def plain(code: str) -> str:
    r"""What a program prints. In a process of its own, without the wrappers that check annotations in these tests:
    they hide from `torch.no_grad` that a sampler is a generator."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_samplers_build_no_graph_and_leave_the_callers_gradients_alone():
    code = """
from functools import partial
import torch
from minidiffusion.diffusion import SAMPLERS, Prediction, classifier, inpaint, make_schedule

schedule = make_schedule()
weight, one = torch.ones((), requires_grad=True), torch.ones(2, 1)

def denoise(x, t):
    assert not torch.is_grad_enabled()
    return Prediction(weight * x, weight * x)

def log_prob(x, t):
    return -(weight * x).square().sum(dim=1)

guided = classifier(denoise, log_prob, schedule)
times = schedule.times(5, "leading")
for name, sampler in {**SAMPLERS, "inpaint": partial(inpaint, known=one, mask=0 * one)}.items():
    for step in [*sampler(denoise, one, times), *sampler(guided, one, times)]:
        assert not step.x.requires_grad and not step.x0_hat.requires_grad
    for step in sampler(denoise, one, times):
        assert torch.is_grad_enabled()
    print(name)
"""
    assert plain(code).split() == [*SAMPLERS, "inpaint"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_wrapped_sampler_can_be_differentiated(name):
    def end(sampler, x_T):
        *_, last = sampler(ideal_of_a_gaussian, x_T, times64(5), noise=noise_from(0))
        return last.x

    x_T = torch.full((1, 1), 0.3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(end(SAMPLERS[name].__wrapped__, x_T).sum(), x_T)
    h = 1e-4
    difference = (end(SAMPLERS[name], x_T + h) - end(SAMPLERS[name], x_T - h)) / (2 * h)
    assert gradient.item() == pytest.approx(difference.item(), rel=1e-6)


def test_the_memory_of_50_steps_is_that_of_one():
    code = """
import resource
import torch
from minidiffusion.diffusion import ddim, denoiser, make_schedule
from minidiffusion.networks import UNet, UNetConfig

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

schedule, unet, context = make_schedule(), UNet(UNetConfig()), torch.randn(1, 32, 128)
denoise = denoiser(lambda x, t: unet(x, t, context), schedule, "v")
x_T = torch.randn(1, 16, 8, 8)
list(ddim(denoise, x_T, schedule.times(2)))
before = peak()
*_, last = ddim(denoise, x_T, schedule.times(50))
print(peak() - before)
"""
    assert int(plain(code)) < 10 * 1024  # KiB on Linux; 124 MiB with gradients


# ------------------------------------------------------------------------------------------------ a mixture


def within(name, x, mixture):
    """KS p > 1e-3 on each axis; mean, covariance and weights of the hills within 4 standard errors."""
    n = len(x)
    normal = torch.distributions.Normal(mixture.means, mixture.covariances.diagonal(dim1=1, dim2=2).sqrt())
    for axis in (0, 1):
        cdf = (mixture.weights * normal.cdf(x[:, None])[:, :, axis]).sum(1).sort().values
        ranks = torch.arange(n + 1, dtype=torch.float64) / n
        distance = torch.maximum((cdf - ranks[:-1]).max(), (ranks[1:] - cdf).max())
        assert distance < math.sqrt(-math.log(1e-3 / 2) / (2 * n)), (name, axis, distance)
    std = mixture.covariance.diagonal().sqrt()
    assert ((x.mean(0) - mixture.mean).abs() < 4 * std / math.sqrt(n)).all(), name
    products = (x - mixture.mean)[:, :, None] * (x - mixture.mean)[:, None]
    assert ((products.mean(0) - mixture.covariance).abs() < 4 * products.std(0) / math.sqrt(n)).all(), name
    share = (x[:, 0] < -0.1).double().mean()  # between the hills; the cdf says how much of each is left of it
    exact = (mixture.weights * normal.cdf(torch.full((2, 2), -0.1, dtype=torch.float64))[:, 0]).sum()
    assert abs(share - exact) < 4 * math.sqrt(exact * (1 - exact) / n), name


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_with_the_exact_score_the_samples_are_those_of_the_mixture(name):
    mixture, schedule, generator = two_gaussians(), make_schedule("cosine"), torch.Generator().manual_seed(1)
    x_T = torch.randn(10_000, 2, generator=generator, dtype=torch.float64)
    n = 1000 if name in ("ddpm", "euler-maruyama", "predictor-corrector") else 250
    times = schedule.times(n, dtype=torch.float64)
    *_, last = SAMPLERS[name](ideal.mixture(*mixture, schedule), x_T, times, noise=noise_from(1))
    within(name, last.x, mixture)


@pytest.mark.parametrize("family", ["flow", "karras"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_works_in_every_family(name, family):
    mixture, schedule, generator = two_gaussians(), make_schedule(family), torch.Generator().manual_seed(0)
    x_T = schedule.std_T * torch.randn(4000, 2, generator=generator, dtype=torch.float64)
    n = 1000 if name in ("ddpm", "euler-maruyama", "predictor-corrector") else 250
    times = schedule.times(n, dtype=torch.float64)
    *_, last = SAMPLERS[name](ideal.mixture(*mixture, schedule), x_T, times, noise=noise_from(1))
    within(name, last.x, mixture)


def test_the_check_of_a_mixture_can_fail():
    mixture = two_gaussians()
    x = mixture.sample(10_000, torch.Generator().manual_seed(0))
    within("the mixture itself", x, mixture)
    fewer_on_the_left = x[(x[:, 0] > 0) | (torch.arange(len(x)) % 7 > 0)]
    for wrong in (x + 0.05, 1.03 * x, x.flip(1), fewer_on_the_left):
        with pytest.raises(AssertionError):
            within("wrong", wrong, mixture)


# ------------------------------------------------------------------------------------------------ diffusers


def eps_of(t):
    """The answer of a model that sees the time alone (counted from 0): any difference is the sampler's."""
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(int(t)), dtype=torch.float64)


def theirs(name, spacing):
    diffusers = pytest.importorskip("diffusers")
    common = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": spacing}
    match name:
        case "ddpm":
            return diffusers.DDPMScheduler(**common, clip_sample=False)
        case "ddim":
            return diffusers.DDIMScheduler(**common, clip_sample=False)
        case "plms":  # set_alpha_to_one: the last step goes to the clean picture, as everywhere else
            return diffusers.PNDMScheduler(**common, skip_prk_steps=True, set_alpha_to_one=True)
        case "euler":
            return diffusers.EulerDiscreteScheduler(**common)
        case "heun":
            return diffusers.HeunDiscreteScheduler(**common)
        case "dpm++":
            return diffusers.DPMSolverMultistepScheduler(**common, final_sigmas_type="zero")


def ends_of_both(name, spacing, n):
    """(our picture, theirs) at the times that they visit; None where theirs cannot be compared, which happens if

    - their times are fractions (Euler and Heun, linspace) or repeat (DPM-Solver++ of 999 steps and more),
    - they step to t - T // n instead of the next time that they visit (DDIM and PLMS, if T / n is not an integer, and
      with linspace), so that the noise that is left does not fit the state.
    """
    scheduler = theirs(name, spacing)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()  # float32 has 1e-4 of rounding after 1000 steps
    schedule = from_alpha_bar(torch.cat([torch.ones(1, dtype=torch.float64), scheduler.alphas_cumprod]))
    scheduler.set_timesteps(n)
    t = scheduler.timesteps.unique().flip(0)
    if (t % 1 != 0).any() or len(t) < n or (name in ("ddim", "plms") and (t.diff() != -(1000 // n)).any()):
        return None
    t = torch.cat([t.long() + 1, torch.zeros(1, dtype=torch.long)])
    times = Times(t, schedule.alpha[t], schedule.sigma[t])

    def denoise(x, t):
        eps = eps_of(t - 1)
        return Prediction((x - schedule.sigma[t] * eps) / schedule.alpha[t], eps)

    x = x_T = eps_of(5000)
    *_, last = SAMPLERS[name](denoise, x_T, times, noise=noise_from(1))
    if name in ("euler", "heun"):  # these two work on x / alpha
        x = x_T / times.alpha[0]
    options = {"generator": torch.Generator().manual_seed(1)} if name == "ddpm" else {}
    for t in scheduler.timesteps:
        x = scheduler.step(eps_of(t), t, x, **options).prev_sample
    return last.x, x


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("name", ["ddpm", "ddim", "plms", "euler", "heun", "dpm++"])
def test_samplers_are_those_of_diffusers(name, spacing):
    compared = []
    for n in (1, 2, 3, 4, 10, 25, 28, 50, 999, 1000):
        ends = ends_of_both(name, spacing, n)
        if ends is not None:
            compared.append(n)
            ours, theirs = ends
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())
    assert len(compared) >= (2 if spacing == "linspace" else 6), compared
