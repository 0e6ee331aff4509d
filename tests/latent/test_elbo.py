"""The bound, where the likelihood is known: a linear decoder is probabilistic PCA (Tipping & Bishop 1999).

    p(x) = N(b, W W^T + sigma^2 I),   p(z | x) = N(M^{-1} W^T (x - b), sigma^2 M^{-1}),   M = W^T W + sigma^2 I

With orthogonal columns of W, M is diagonal, and an encoder with a diagonal Gaussian can be exact.
"""

import pytest
import torch

from minidiffusion.latent.autoencoder import VariationalAutoencoder, perceptron
from minidiffusion.latent.elbo import active_units, elbo, free_bits, gaussian_log_likelihood, importance_bound
from minidiffusion.latent.vae import DiagonalGaussian

SIGMA = 0.4


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ppca(shift=0.0, log_widen=0.0):
    """A model with its exact posterior, or with one whose means are shifted and whose log-variances are raised."""
    model = VariationalAutoencoder(perceptron(5, 4), perceptron(2, 5)).double().requires_grad_(False)
    W = torch.linalg.qr(random(5, 2))[0] * torch.tensor([1.5, 0.7], dtype=torch.float64)
    b, M = random(5, seed=1), W.T @ W + SIGMA**2 * torch.eye(2, dtype=torch.float64)
    gain = torch.linalg.inv(M) @ W.T
    (encoder,), (decoder,) = model.encoder, model.decoder
    decoder.weight.copy_(W)
    decoder.bias.copy_(b)
    encoder.weight.copy_(torch.cat([gain, torch.zeros(2, 5)]))
    encoder.bias.copy_(torch.cat([shift - gain @ b, (SIGMA**2 / M.diagonal()).log() + log_widen]))
    p = torch.distributions.MultivariateNormal(b, W @ W.T + SIGMA**2 * torch.eye(5, dtype=torch.float64))
    return model, p


X = 1.5 * random(6, 5, seed=2)
WRONG = dict(shift=0.3, log_widen=0.5)


def without_chance(model):
    """The model, but for 2k equal rows of x it draws mean +- sqrt(k) std e_j: quadratics in z have an exact mean."""

    def forward(x, generator=None):
        q = model.posterior(x)
        k = q.mean.shape[1]
        nodes = k**0.5 * torch.cat([torch.eye(k), -torch.eye(k)]).double()
        return model.decode(q.mean + (q.logvar / 2).exp() * nodes.repeat(len(x) // (2 * k), 1)), q

    return forward


def expected_elbo(model, beta=1.0):
    return elbo(without_chance(model), X.repeat_interleave(4, dim=0), SIGMA, beta=beta).reshape(-1, 4).mean(dim=1)


def test_the_exact_posterior_closes_the_bound():
    model, p = ppca()
    torch.testing.assert_close(expected_elbo(model), p.log_prob(X), rtol=1e-10, atol=1e-10)
    # With it p(x | z) p(z) / q(z | x) is p(x) for every z: one draw is enough.
    torch.testing.assert_close(importance_bound(model, X, SIGMA, 1), p.log_prob(X), rtol=1e-10, atol=1e-10)


def test_any_other_posterior_misses_by_its_divergence_from_the_exact_one():
    (exact, p), (wrong, _) = ppca(), ppca(**WRONG)
    normals = [
        torch.distributions.Normal(q.mean, (q.logvar / 2).exp()) for q in (wrong.posterior(X), exact.posterior(X))
    ]
    gap = torch.distributions.kl_divergence(*normals).sum(dim=1)
    assert (gap > 0.1).all()
    torch.testing.assert_close(p.log_prob(X) - expected_elbo(wrong), gap, rtol=1e-10, atol=1e-10)


def test_beta_only_weighs_the_divergence():
    model, _ = ppca(**WRONG)
    kl = model.posterior(X).kl()
    torch.testing.assert_close(expected_elbo(model) - expected_elbo(model, beta=3.0), 2 * kl, rtol=1e-10, atol=1e-10)


def test_drawn_bounds_rise_with_the_samples_from_the_elbo_to_the_likelihood():
    model, p = ppca(**WRONG)
    n, generator = 20_000, torch.Generator().manual_seed(0)
    x, log_p, bound = X[:1].expand(n, 5), p.log_prob(X[0]).item(), expected_elbo(model)[0].item()

    def mean(values):
        return values.mean().item(), 4 * (values.std() / len(values) ** 0.5).item()

    for value in (elbo(model, x, SIGMA, generator), importance_bound(model, x, SIGMA, 1, generator)):
        average, error = mean(value)
        assert average == pytest.approx(bound, abs=error) and error < 0.06
    averages = [mean(importance_bound(model, x[:1000], SIGMA, samples, generator))[0] for samples in (1, 8, 64, 512)]
    assert averages == sorted(averages) and averages[-1] == pytest.approx(log_p, abs=5e-3)
    assert log_p - bound > 0.2


def test_the_closed_divergence_is_that_of_draws():
    n = 1_000_000  # the ratio's standard deviation is 0.19, so 1e-3 is more than five standard errors
    q = DiagonalGaussian(torch.tensor([[0.1, -0.15]]).double(), torch.tensor([[0.05, -0.05]]).double())
    many = DiagonalGaussian(q.mean.expand(n, 2), q.logvar.expand(n, 2))
    z = many.sample(torch.Generator().manual_seed(0))
    log_q = gaussian_log_likelihood(z, many.mean, (many.logvar / 2).exp())
    ratio = log_q - gaussian_log_likelihood(z, torch.zeros_like(z), 1.0)
    assert 5 * ratio.std() / n**0.5 < 1e-3 < 0.1 * q.kl()
    assert ratio.mean().item() == pytest.approx(q.kl().item(), abs=1e-3)


def test_the_likelihood_is_that_of_torch_for_pictures_too():
    x, x_hat = random(2, 3, 1, 4, 4)
    expected = torch.distributions.Normal(x_hat, 0.3).log_prob(x).sum(dim=(1, 2, 3))
    torch.testing.assert_close(gaussian_log_likelihood(x, x_hat, 0.3), expected, rtol=1e-13, atol=0)
    with pytest.raises(ValueError, match="sigma must be greater than 0, got 0"):
        gaussian_log_likelihood(x, x_hat, 0.0)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        importance_bound(ppca()[0], X, SIGMA, 0)


# ------------------------------------------------------------------------------------------------ collapse

VARIANCES = torch.tensor([4.0, 1.0, 0.05], dtype=torch.float64)  # of the data along their axes
NOISE = 0.1  # sigma^2, between them


def linear_vae():
    """An untrained one of three dimensions, and six points with those variances, each six times (for six draws)."""
    torch.manual_seed(0)
    axes = (3 * VARIANCES).sqrt().diag() @ torch.linalg.qr(random(3, 3))[0]
    x = torch.cat([axes, -axes]).repeat_interleave(6, dim=0)
    return VariationalAutoencoder(perceptron(3, 6), perceptron(3, 3)).double(), x


@pytest.mark.parametrize("beta, active", [(1.0, 2), (20.0, 1), (100.0, 0)])
def test_a_dimension_collapses_where_the_data_vary_less_than_beta_sigma_squared(beta, active):
    model, x = linear_vae()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, tolerance_grad=1e-8, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        value = -elbo(without_chance(model), x, NOISE**0.5, beta=beta).mean()
        value.backward()
        return value

    optimizer.step(loss)
    q = model.posterior(x)
    # The optimum of probabilistic PCA, with beta sigma^2 for its noise: 1/2 log(variance / noise) nats a dimension.
    expected = 0.5 * (VARIANCES / (beta * NOISE)).log().clamp(min=0)
    kl = q.kl_of_each().mean(dim=0).sort(descending=True).values
    torch.testing.assert_close(kl.detach(), expected, rtol=0, atol=1e-6)
    assert active_units(q.mean) == active


def test_free_bits_keep_every_dimension_at_the_floor():
    model, x = linear_vae()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=300)
    for _ in range(300):
        x_hat, q = without_chance(model)(x)
        loss = 100 * free_bits(q, 0.5) - gaussian_log_likelihood(x, x_hat, NOISE**0.5).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    q = model.posterior(x)
    # Where the test above, at beta = 100, ends with nothing: 0 nats and no active unit.
    assert q.kl_of_each().mean(dim=0).tolist() == pytest.approx([0.5] * 3, rel=0.02)
    assert active_units(q.mean) == 3


def test_free_bits_by_hand():
    # The mean over the batch first, 0.25, 0.01 and 2 nats; then the floor.
    mean = torch.tensor([[1.0, 0.2, 2.0], [0.0, 0.0, 2.0]], dtype=torch.float64)
    q = DiagonalGaussian(mean, torch.zeros_like(mean))
    kl = torch.tensor([0.25, 0.01, 2.0], dtype=torch.float64)
    torch.testing.assert_close(q.kl_of_each().mean(dim=0), kl)
    assert free_bits(q, 0.1).item() == pytest.approx(0.25 + 0.1 + 2.0)
    assert free_bits(q, 0.0).item() == pytest.approx(q.kl().mean().item())


def test_active_units_counts_variance_over_the_data():
    mean = torch.tensor([[5.0, 0.0, 0.0], [5.0, 0.14, 0.2]])  # variances 0, 0.0098, 0.02
    assert active_units(mean) == 1 and active_units(mean, threshold=0.005) == 2
