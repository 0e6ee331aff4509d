"""The denoising autoencoder where the best answer is known: Gaussians and mixtures of them, in float64."""

import pytest
import torch
from torch import nn

from minidiffusion.data.toy import two_gaussians
from minidiffusion.latent.denoising import denoising_loss, score


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_copying_costs_the_noise_and_silence_costs_the_data():
    x, sigma = 3 + random(5, 1, 2, 2), 0.3
    eps = random(5, 1, 2, 2, seed=1)
    loss = denoising_loss(lambda noised: noised, x, sigma, torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss, (sigma**2 * eps.square()).mean())
    torch.testing.assert_close(denoising_loss(torch.zeros_like, x, sigma), x.square().mean())


def test_the_best_linear_denoiser_of_gaussian_data_is_wieners():
    # r(x) = mean + C (C + sigma^2)^{-1} (x - mean); what it must pay is the posterior variance, not 0.
    n, sigma, mean = 100_000, 0.7, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    root = torch.tensor([[1.5, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.2, 0.3, 0.3]], dtype=torch.float64)
    covariance, eye = root @ root.T, torch.eye(3, dtype=torch.float64)
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * eye)
    floor = (covariance - gain @ covariance).trace() / 3
    x = mean + random(n, 3) @ root.T
    torch.manual_seed(0)
    model = nn.Linear(3, 3).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = denoising_loss(model, x, sigma, torch.Generator().manual_seed(1))  # one draw, so a fixed quadratic
        value.backward()
        return value

    optimizer.step(loss)
    # Standard errors of least squares: sqrt(posterior variance / (n input variance)) <= sqrt(0.4 / (n 0.6)) = 0.0026.
    torch.testing.assert_close(model.weight.detach(), gain, rtol=0, atol=0.01)
    torch.testing.assert_close(model(mean).detach(), mean, rtol=0, atol=0.01)
    assert loss().item() == pytest.approx(floor.item(), rel=4 * (2 / n) ** 0.5)
    assert 0.1 < floor < sigma**2


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_the_best_denoiser_knows_the_score_of_the_smoothed_density(sigma):
    hills, eye = two_gaussians(), torch.eye(2, dtype=torch.float64)

    def best(x):  # the posterior mean, by Bayes: no gradient and no score in it
        smoothed = [
            torch.distributions.MultivariateNormal(m, c + sigma**2 * eye) for m, c in zip(*hills[1:], strict=True)
        ]
        share = (torch.stack([p.log_prob(x) for p in smoothed], dim=1) + hills.weights.log()).softmax(dim=1)
        means = [
            m + (x - m) @ (torch.linalg.inv(p.covariance_matrix) @ c)
            for p, m, c in zip(smoothed, *hills[1:], strict=True)
        ]
        return torch.einsum("nk,knd->nd", share, torch.stack(means))

    x = (1.5 * random(200, 2)).requires_grad_()
    (expected,) = torch.autograd.grad(hills.noised(1.0, sigma).log_prob(x).sum(), x)
    torch.testing.assert_close(score(best, x.detach(), sigma), expected, rtol=1e-10, atol=1e-10)
    # ... and not the score of the density itself, except where there is hardly any noise.
    clean = hills.score(x.detach())
    assert ((expected - clean).norm() / clean.norm() > 0.3) == (sigma > 0.1)


def test_without_noise_there_is_no_score():
    with pytest.raises(ValueError, match="sigma must be greater than 0, got 0"):
        score(lambda x: x, random(2, 2), 0.0)
