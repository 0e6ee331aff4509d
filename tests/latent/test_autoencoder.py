"""Bottlenecks: the linear one against the SVD, the Gaussian one against its own formula."""

import pytest
import torch
from torch import nn

from minidiffusion.latent.autoencoder import Autoencoder, VariationalAutoencoder, perceptron


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_linear_bottleneck_finds_the_principal_components():
    k, spread = 2, torch.tensor([3.0, 2.0, 1.0, 0.8, 0.5, 0.2], dtype=torch.float64)
    x = random(100, 6) * spread @ torch.linalg.qr(random(6, 6, seed=1))[0] + random(6, seed=2)
    torch.manual_seed(0)
    model = Autoencoder(perceptron(6, k), perceptron(k, 6)).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        value = (model(x) - x).square().sum(dim=1).mean()
        value.backward()
        return value

    optimizer.step(loss)
    _, s, vt = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False)
    torch.testing.assert_close(loss().detach(), s[k:].square().sum() / len(x), rtol=1e-12, atol=0)
    # Not the components themselves, only the plane that they span: any mixture of them is as good.
    span = torch.linalg.qr(model.decoder[0].weight.detach())[0]
    torch.testing.assert_close(span @ span.T, vt[:k].T @ vt[:k], rtol=0, atol=1e-6)


def test_a_perceptron_bends_between_its_layers_and_nowhere_else():
    torch.manual_seed(0)
    network = perceptron(3, 5, 4, 2).double()
    first, second, third = (layer for layer in network if isinstance(layer, nn.Linear))
    h = x = random(7, 3)
    for layer in (first, second):
        h = h @ layer.weight.T + layer.bias
        h = h / (1 + (-h).exp())
    torch.testing.assert_close(network(x), h @ third.weight.T + third.bias)
    with pytest.raises(ValueError, match=r"widths must be at least two numbers, .* got \(3,\)"):
        perceptron(3)


def test_an_autoencoder_takes_whatever_shapes_its_parts_take():
    model = Autoencoder(
        nn.Sequential(nn.Flatten(), perceptron(12, 2)), nn.Sequential(perceptron(2, 12), nn.Unflatten(1, (3, 2, 2)))
    ).double()
    x = random(5, 3, 2, 2)
    assert model.encode(x).shape == (5, 2)
    assert model(x).shape == x.shape and torch.equal(model(x), model.decode(model.encode(x)))


def test_a_variational_one_draws_mean_plus_std_eps_with_means_first():
    torch.manual_seed(0)
    model = VariationalAutoencoder(perceptron(6, 2 * 2), perceptron(2, 6)).double()
    x = random(4, 6)
    x_hat, posterior = model(x, torch.Generator().manual_seed(3))
    mean, logvar = model.encoder(x)[:, :2], model.encoder(x)[:, 2:]
    assert torch.equal(posterior.mean, mean) and torch.equal(posterior.logvar, logvar)
    torch.testing.assert_close(x_hat, model.decoder(mean + (logvar / 2).exp() * random(4, 2, seed=3)))
    x_hat.sum().backward()
    assert (model.encoder[0].weight.grad.abs() > 0).all()  # through the draw, to means and log-variances
