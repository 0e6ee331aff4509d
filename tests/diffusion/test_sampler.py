r"""Samplers against data whose best denoiser is known in closed form, so that nothing here depends on a training.

For x_0 ~ N(mu, c^2), E[x_0 | x_t] = (sigma^2 mu + alpha c^2 x_t) / (alpha^2 c^2 + sigma^2), and the probability-flow
ODE maps x_T to mu + c * (x_T - alpha_T mu) / sqrt(alpha_T^2 c^2 + sigma_T^2) exactly.
"""

import math

import pytest
import torch

from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.sampler import SAMPLERS, ddim, ddpm, dpm_solver_pp
from minidiffusion.diffusion.schedule import Times, make_schedule

MU, C = 2.0, 0.5
SCHEDULE = make_schedule("cosine")


def ideal(x, t):
    alpha, sigma = SCHEDULE.alpha[t].to(x), SCHEDULE.sigma[t].to(x)
    x0 = (sigma**2 * MU + alpha * C**2 * x) / (alpha**2 * C**2 + sigma**2)
    return Prediction(x0, (x - alpha * x0) / sigma)


def times64(n: int) -> Times:
    t = SCHEDULE.times(n).t
    return Times(t, SCHEDULE.alpha[t], SCHEDULE.sigma[t])


def noise_from(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_ideal_denoiser_gives_the_data_back(name):
    n = 20_000
    x_T = torch.randn(n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    *_, last = SAMPLERS[name](ideal, x_T, times64(500), noise=noise_from(1))
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
        *_, last = sampler(ideal, x_T, Times(t, alpha, sigma))
        spread = (alpha**2 * C**2 + sigma**2).sqrt()
        exact = alpha[-1] * MU + spread[-1] * (x_T - alpha[0] * MU) / spread[0]
        errors.append((last.x - exact).abs().max().log2())
    return ((errors[0] - errors[-1]) / 3).item()


def test_order_of_convergence():
    assert slope(ddim) == pytest.approx(1, abs=0.15)
    assert slope(dpm_solver_pp) == pytest.approx(2, abs=0.25)


def test_ddim_with_eta_1_is_ddpm():
    x_T = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = [step.x for step in ddim(ideal, x_T, times64(20), eta=1.0, noise=noise_from(3))]
    b = [step.x for step in ddpm(ideal, x_T, times64(20), noise=noise_from(3))]
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_last_step_is_the_last_x0_and_draws_no_noise(name):
    *_, last = SAMPLERS[name](ideal, torch.ones(2, 1, dtype=torch.float64), times64(7), noise=noise_from(0))
    torch.testing.assert_close(last.x, last.x0_hat, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy, inside diffusers
@pytest.mark.parametrize("n", [1, 2, 25])
@pytest.mark.parametrize("name", ["ddim", "dpm++"])
def test_single_steps_are_those_of_diffusers(name, n):
    # A model whose answer depends on t alone: any difference is the sampler's.
    diffusers = pytest.importorskip("diffusers")
    schedule = make_schedule("scaled_linear")
    common = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "timestep_spacing": "trailing",
    }
    if name == "ddim":
        theirs = diffusers.DDIMScheduler(**common, clip_sample=False)
    else:
        theirs = diffusers.DPMSolverMultistepScheduler(**common, final_sigmas_type="zero", lower_order_final=True)
    theirs.set_timesteps(n)
    x = x_T = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def eps(t):
        return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(int(t)))

    for t in theirs.timesteps:
        x = theirs.step(eps(t), t, x).prev_sample

    def denoise(x, t):
        noise = eps(t - 1)
        alpha, sigma = schedule.alpha[t].float(), schedule.sigma[t].float()
        return Prediction((x - sigma * noise) / alpha, noise)

    times = schedule.times(n)
    assert (times.t[:-1] - 1).tolist() == theirs.timesteps.tolist()
    *_, last = SAMPLERS[name](denoise, x_T, times)
    # DDIM in diffusers ends at alpha_bar of its first step unless told otherwise; set_alpha_to_one defaults to True.
    torch.testing.assert_close(last.x, x, rtol=1e-4, atol=1e-4)
