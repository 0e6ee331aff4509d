import pytest
import torch

from minidiffusion.diffusion.prediction import PREDICTION_TYPES, convert, denoiser, target, to_prediction
from minidiffusion.diffusion.schedule import SCHEDULES, make_schedule
from tests.unchecked import unchecked


def state(name, t):
    """(x_0, eps, x_t, alpha, sigma) at time t of that schedule."""
    schedule = make_schedule(name)
    alpha, sigma = schedule.alpha[t], schedule.sigma[t]
    x_0, eps = torch.randn(2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
    return x_0, eps, alpha * x_0 + sigma * eps, alpha, sigma


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", PREDICTION_TYPES)
@pytest.mark.parametrize("t", [1, 2, 500, 998, 999])
def test_every_kind_gives_back_x_0_and_eps(name, kind, t):
    x_0, eps, x_t, alpha, sigma = state(name, t)
    prediction = to_prediction(kind, target(kind, x_0, eps, alpha, sigma), x_t, alpha, sigma)
    torch.testing.assert_close(prediction.x0, x_0, rtol=0, atol=1e-10)
    torch.testing.assert_close(prediction.eps, eps, rtol=0, atol=1e-10)


@pytest.mark.parametrize("t", [1, 500, 999])
@pytest.mark.parametrize("to", PREDICTION_TYPES)
@pytest.mark.parametrize("source", PREDICTION_TYPES)
def test_there_and_back_for_any_answer(source, to, t):
    # Any answer, also a wrong one: conversions solve x_t = alpha x_0 + sigma eps, they do not ask who is right.
    _, _, x_t, alpha, sigma = state("cosine", t)
    answer = torch.randn(64, dtype=torch.float64, generator=torch.Generator().manual_seed(99))
    there = convert(source, to, answer, x_t, alpha, sigma)
    back = convert(to, source, there, x_t, alpha, sigma)
    assert there.isfinite().all()
    torch.testing.assert_close(back, answer, rtol=1e-10, atol=1e-10 * max(1.0, there.abs().max().item()))
    prediction = to_prediction(source, answer, x_t, alpha, sigma)
    torch.testing.assert_close(alpha * prediction.x0 + sigma * prediction.eps, x_t, rtol=0, atol=1e-10)


def test_the_score_is_the_gradient_of_the_log_density_of_x_t():
    x_0, eps, x_t, alpha, sigma = state("cosine", 300)
    x = x_t.clone().requires_grad_()
    log_q = torch.distributions.Normal(alpha * x_0, sigma).log_prob(x).sum()
    (gradient,) = torch.autograd.grad(log_q, x)
    torch.testing.assert_close(target("score", x_0, eps, alpha, sigma), gradient)


def test_the_velocity_is_the_time_derivative_of_a_flow():
    T = 1000
    flow = make_schedule("flow", T)
    x_0, eps, x_t, alpha, sigma = state("flow", 400)
    later = flow.alpha[401] * x_0 + flow.sigma[401] * eps
    torch.testing.assert_close(target("velocity", x_0, eps, alpha, sigma), (later - x_t) * T)


def test_v_is_finite_where_there_is_no_signal_left():
    schedule = make_schedule("cosine")
    prediction = to_prediction("v", torch.ones(3), torch.zeros(3), schedule.alpha[-1], schedule.sigma[-1])
    assert torch.equal(prediction.x0, -torch.ones(3, dtype=torch.float64)) and prediction.eps.isfinite().all()


def test_the_network_counts_from_0_and_sees_one_time_a_sample():
    seen = []

    def network(x, t):
        seen.append(t)
        return torch.zeros_like(x)

    denoise = denoiser(network, make_schedule("cosine"), "v")
    denoise(torch.zeros(4, 2), torch.tensor(1000))
    denoise(torch.zeros(4, 2), torch.tensor(1))
    assert [t.tolist() for t in seen] == [[999] * 4, [0] * 4]


def test_an_answer_of_twice_the_channels_says_how_wide_the_step_is():
    schedule, x_t, t = make_schedule("cosine", 10), torch.randn(2, 3, 4), torch.tensor(7)
    answer, width = torch.randn(2, 2, 3, 4)
    plain = denoiser(lambda *_: answer, schedule, "v")(x_t, t)
    wide = denoiser(lambda *_: torch.cat([answer, width], dim=1), schedule, "v")(x_t, t)
    assert plain.nu is None
    assert torch.equal(wide.x0, plain.x0) and torch.equal(wide.eps, plain.eps)
    torch.testing.assert_close(wide.nu, (width + 1) / 2)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="eps, x0, v, score, velocity"):
        unchecked(target)("noise", torch.ones(1), torch.ones(1), torch.ones(1), torch.ones(1))
