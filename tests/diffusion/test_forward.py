import pytest
import torch

from minidiffusion.diffusion import forward
from minidiffusion.diffusion.schedule import make_schedule


def test_one_jump_is_T_single_steps():
    # Compose q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t) exactly: mean factor and variance, step by step.
    schedule = make_schedule("linear", 50)
    factor, variance = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    for t, beta in enumerate(schedule.beta, start=1):
        factor, variance = (1 - beta).sqrt() * factor, (1 - beta) * variance + beta
        torch.testing.assert_close(factor, schedule.alpha[t], rtol=0, atol=1e-10)
        torch.testing.assert_close(variance, schedule.sigma[t] ** 2, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["linear", "cosine", "flow", "karras"])
def test_many_simulated_steps_are_distributed_like_one_jump(name):
    schedule, n = make_schedule(name, 20), 40_000
    generator = torch.Generator().manual_seed(0)
    x = x_0 = torch.full((n, 1), 0.7, dtype=torch.float64)
    for t in range(1, 21):
        eps = torch.randn(n, 1, dtype=torch.float64, generator=generator)
        x = forward.single_step(schedule, x, torch.full((n,), t), eps)
        mean, var = schedule.alpha[t] * 0.7, schedule.sigma[t] ** 2
        assert abs(x.mean() - mean) < 4 * (var / n) ** 0.5
        assert abs(x.var() - var) < 4 * var * (2 / n) ** 0.5
    torch.testing.assert_close(x_0, torch.full_like(x_0, 0.7))


def test_samples_have_the_stated_mean_and_variance():
    schedule, n = make_schedule("cosine"), 20_000
    x_0 = torch.full((n, 1), 0.7)
    for t in (1, 300, 900, 1000):
        eps = torch.randn(n, 1, generator=torch.Generator().manual_seed(t))
        x_t = forward.sample(schedule, x_0, torch.full((n,), t), eps)
        mean, var = schedule.alpha[t] * 0.7, schedule.sigma[t] ** 2
        assert abs(x_t.mean() - mean) < 4 * (var / n) ** 0.5 + 1e-7
        assert abs(x_t.var() - var) < 4 * var * (2 / n) ** 0.5


def test_each_sample_of_a_batch_gets_its_own_time():
    # 32 samples of width 32: a table indexed without reshaping would scale columns instead, without an error.
    schedule = make_schedule("cosine")
    t = torch.linspace(0, 1000, 32).long()
    x_t = forward.sample(schedule, torch.ones(32, 3, 32, 32), t, torch.zeros(32, 3, 32, 32))
    torch.testing.assert_close(x_t, schedule.alpha[t].float()[:, None, None, None].expand_as(x_t))


def test_posterior_is_bayes_rule():
    # p(x_s | x_t, x_0) is proportional to q(x_t | x_s) q(x_s | x_0): multiply the two Gaussians in x_s directly.
    schedule = make_schedule("linear", 100)
    x_0, x_t = torch.tensor(0.3, dtype=torch.float64), torch.tensor(-1.1, dtype=torch.float64)
    for t, s in [(100, 99), (100, 40), (60, 59), (2, 1), (7, 3)]:
        alpha, sigma = schedule.alpha[[t, s]], schedule.sigma[[t, s]]
        step = alpha[0] / alpha[1]
        var_ts = sigma[0] ** 2 - step**2 * sigma[1] ** 2
        precision = step**2 / var_ts + 1 / sigma[1] ** 2
        mean = (step * x_t / var_ts + alpha[1] * x_0 / sigma[1] ** 2) / precision
        got_mean, got_var = forward.posterior(x_t, x_0, alpha, sigma)
        torch.testing.assert_close(got_mean, mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(got_var, 1 / precision, rtol=0, atol=1e-10)


def test_the_last_posterior_is_x_0_itself():
    schedule = make_schedule("cosine")
    x_t, x_0 = torch.tensor([5.0, 0.3], dtype=torch.float64)
    mean, var = forward.posterior(x_t, x_0, schedule.alpha[[1, 0]], schedule.sigma[[1, 0]])
    assert mean == 0.3 and var == 0
