import pytest
import torch

from minidiffusion.data.toy import two_gaussians
from minidiffusion.diffusion import forward, ideal
from minidiffusion.diffusion.schedule import make_schedule


@pytest.mark.parametrize("name", ["cosine", "flow", "karras"])
@pytest.mark.parametrize("t", [1, 400, 999])
def test_the_score_of_the_noised_mixture_is_the_predicted_noise(name, t):
    # Tweedie: score = -eps_hat / sigma. The mixture knows its score by another formula.
    schedule, mixture = make_schedule(name), two_gaussians()
    alpha, sigma = schedule.alpha[t], schedule.sigma[t]
    x_t = alpha * mixture.sample(100, torch.Generator().manual_seed(t)) + sigma * torch.randn(
        100, 2, dtype=torch.float64
    )
    x0_hat, eps_hat, _ = ideal.mixture(*mixture, schedule)(x_t, torch.tensor(t))
    torch.testing.assert_close(-eps_hat / sigma, mixture.noised(alpha, sigma).score(x_t))
    torch.testing.assert_close(alpha * x0_hat + sigma * eps_hat, x_t)


def test_both_ends_are_finite():
    denoise, mixture = ideal.mixture(*two_gaussians(), make_schedule("cosine")), two_gaussians()
    x = mixture.sample(10, torch.Generator().manual_seed(0))
    clean, noisy = denoise(x, torch.tensor(0)), denoise(x, torch.tensor(1000))
    torch.testing.assert_close(clean.x0, x)
    assert clean.eps.abs().max() == 0
    torch.testing.assert_close(noisy.x0, mixture.mean.expand_as(x))
    torch.testing.assert_close(noisy.eps, x)


def test_many_points_of_a_mixture_denoise_like_the_mixture():
    schedule, generator = make_schedule("cosine"), torch.Generator().manual_seed(0)
    data = two_gaussians().sample(20_000, generator)
    x_t = forward.sample(
        schedule, data[:50], torch.full((50,), 600), torch.randn(50, 2, generator=generator, dtype=torch.float64)
    )
    few, many = ideal.finite_data(data, schedule), ideal.mixture(*two_gaussians(), schedule)
    torch.testing.assert_close(few(x_t, torch.tensor(600)).x0, many(x_t, torch.tensor(600)).x0, rtol=0, atol=0.05)


def test_a_posterior_mean_by_hand():
    # Two points at -1 and 1: p(1 | x_t) / p(-1 | x_t) = exp(2 alpha x_t / sigma^2).
    schedule = make_schedule("linear")
    data, x_t = torch.tensor([[-1.0], [1.0]], dtype=torch.float64), torch.tensor([[0.3]], dtype=torch.float64)
    alpha, sigma = schedule.alpha[500], schedule.sigma[500]
    x0_hat, eps_hat, _ = ideal.finite_data(data, schedule)(x_t, torch.tensor(500))
    torch.testing.assert_close(x0_hat, torch.tanh(alpha * x_t / sigma**2))
    torch.testing.assert_close(alpha * x0_hat + sigma * eps_hat, x_t)


def test_finite_data_keeps_the_shape_of_pictures_and_finds_the_point_again():
    schedule, generator = make_schedule("cosine"), torch.Generator().manual_seed(0)
    data = torch.randn(7, 3, 4, 4, generator=generator)
    x_t = forward.sample(schedule, data, torch.full((7,), 5), torch.randn(data.shape, generator=generator))
    torch.testing.assert_close(ideal.finite_data(data, schedule)(x_t, torch.tensor(5)).x0, data)
