r"""One formula: it is what the kernels' package computes, kernel smoothing, and the ideal denoiser."""

import math

import pytest
import torch

from minidiffusion.attention.multi_head import MultiHeadAttention
from minidiffusion.attention.scaled_dot_product import attention, dot_product, gaussian, scaled, scaled_dot_product
from minidiffusion.diffusion.ideal import finite_data
from minidiffusion.diffusion.schedule import linear
from tests.shake import relative_error, shake


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("f", [dot_product, scaled, gaussian(0.7), lambda x, y: -torch.cdist(x, y, p=1)])
def test_it_is_the_articles_sum_for_any_similarity(f):
    x = normal(2, 5, 3)
    for b in range(2):
        for i in range(5):
            weights = [math.exp(f(x[b, i : i + 1], x[b, j : j + 1])) for j in range(5)]
            z_i = sum(w * x[b, j] for j, w in enumerate(weights)) / sum(weights)
            torch.testing.assert_close(attention(x, x, x, f)[b, i], z_i)


def test_similarities_are_what_they_are_called():
    x, y = normal(4, 3), normal(2, 3)
    torch.testing.assert_close(dot_product(x, y)[3, 1], (x[3] * y[1]).sum())
    torch.testing.assert_close(scaled(x, y)[3, 1], (x[3] * y[1]).sum() / 3**0.5)
    torch.testing.assert_close(gaussian(2.0)(x, y)[3, 1], -(x[3] - y[1]).square().sum() / 8)


@pytest.mark.parametrize("backend", ["auto", "reference", "torch"])
def test_networks_and_the_reference_beside_the_kernel_compute_this_formula(backend):
    q, k, v = normal(2, 4, 6, 8), normal(2, 4, 9, 8), normal(2, 4, 9, 8).flip(2)
    torch.testing.assert_close(scaled_dot_product(q, k, v, backend=backend), attention(q, k, v))


def test_a_head_is_a_learnt_similarity_and_a_matrix():
    head = shake(MultiHeadAttention(8, 1)).double()
    x = normal(2, 5, 8)
    z = attention(x, x, x, lambda x, y: scaled(head.to_q(x), head.to_k(y)))
    torch.testing.assert_close(head.to_out[0](head.to_v(z)), head(x))


def test_the_ideal_denoiser_is_attention_over_the_data_set():
    data, schedule = normal(30, 2), linear()
    x_0 = data[:7]
    for t in (1, 100, 500, 1000):
        alpha, sigma = schedule.alpha[t], schedule.sigma[t]
        x_t = alpha * x_0 + sigma * normal(7, 2)
        x0_hat = finite_data(data, schedule)(x_t, torch.tensor(t)).x0
        torch.testing.assert_close(attention(x_t / alpha, data, data, gaussian(sigma / alpha)), x0_hat)


def test_small_distances_far_from_the_origin_keep_their_digits():
    x = 1000 + torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    assert relative_error(gaussian(1.0)(x, x).double(), gaussian(1.0)(x.double(), x.double())) < 1e-6
