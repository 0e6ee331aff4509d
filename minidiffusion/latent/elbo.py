r"""The evidence lower bound: a bound on log p(x), which a VAE maximises (article 3.2.1).

The model of a VAE: a picture x comes from a code z ~ N(0, I) by x = decode(z) + sigma eps. Then p(x) is the mean of
p(x | z) over all z; but hardly any z decodes to x. Drawing z from the encoder's q(z | x) instead gives a bound
(Kingma & Welling 2014, eq. 1 and 3):

    log p(x)  >=  ELBO  =  E_q log p(x | z) - KL( q(z | x) || N(0, I) )
    log p(x)   =  ELBO  +  KL( q(z | x) || p(z | x) )

Maximising it makes pictures probable and q close to the true posterior. sigma is part of the model: it weighs the error
of a pixel against the nats of the code.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .autoencoder import VariationalAutoencoder
from .vae import DiagonalGaussian


def gaussian_log_likelihood(
    x: Float[Tensor, "b *shape"], x_hat: Float[Tensor, "b *shape"], sigma: float | Tensor
) -> Float[Tensor, "b"]:
    r"""log N(x; x_hat, sigma^2) in nats for each sample. sigma > 0: a number, or of the shape of x; else ValueError."""
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    if not (sigma > 0).all():
        raise ValueError(f"sigma must be greater than 0, got {sigma.min():g}")
    return -0.5 * (((x - x_hat) / sigma).square() + (2 * math.pi * sigma**2).log()).flatten(1).sum(dim=1)


def elbo(
    model: Callable[..., tuple[Tensor, DiagonalGaussian]],
    x: Float[Tensor, "b *shape"],
    sigma: float,
    generator: torch.Generator | None = None,
    beta: float = 1.0,
) -> Float[Tensor, "b"]:
    r"""log p(x | z) - beta KL(q || N(0, I)) for each sample, in nats, with one draw of z. Training maximises its mean.

    model: a `VariationalAutoencoder` or an `AutoencoderKL`. beta > 1 favours simpler codes than the bound does (Higgins
    et al. 2017); the optimum is that of beta = 1 with sqrt(beta) sigma for sigma. With a large beta the posterior
    collapses: q(z | x) = N(0, I) for every x, and the decoder returns the mean.
    """
    x_hat, posterior = model(x, generator)
    return gaussian_log_likelihood(x, x_hat, sigma) - beta * posterior.kl()


def importance_bound(
    model: VariationalAutoencoder,
    x: Float[Tensor, "b d"],
    sigma: float,
    samples: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b"]:
    r"""A tighter bound on log p(x), for each sample, in nats (Burda et al. 2016, eq. 8):

        log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x),      z_k ~ q(z | x),  K = `samples`

    In expectation it is the ELBO for one sample, never falls with more, and tends to log p(x). If q is the true
    posterior, all ratios are p(x), and one sample is enough. Raises ValueError for fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    posterior = model.posterior(x)
    std = (0.5 * posterior.logvar).exp()
    log_ratios = []
    for _ in range(samples):
        z = posterior.sample(generator)
        log_prior = gaussian_log_likelihood(z, torch.zeros_like(z), 1.0)
        log_q = gaussian_log_likelihood(z, posterior.mean, std)
        log_ratios.append(gaussian_log_likelihood(x, model.decode(z), sigma) + log_prior - log_q)
    return torch.stack(log_ratios).logsumexp(dim=0) - math.log(samples)


def free_bits(posterior: DiagonalGaussian, floor: float) -> Float[Tensor, ""]:
    r"""The KL term with `floor` nats for free in each dimension: sum_j max(KL_j, floor) (Kingma et al. 2016).

    KL_j is the mean over the batch, in nats. Below the floor the gradient is 0, so there is nothing to gain from a
    collapsed dimension. It takes the place of the mean of `posterior.kl()`, and is never smaller.
    """
    return posterior.kl_of_each().mean(dim=0).clamp(min=floor).sum()


def active_units(mean: Float[Tensor, "n *shape"], threshold: float = 0.01) -> int:
    r"""The number of dimensions of the code that depend on x (Burda et al. 2016, section 5.2).

    mean: the posterior means of n data. A dimension is active if their variance over the data is above the threshold;
    in a collapsed one all x have the same mean.
    """
    return int((mean.var(dim=0) > threshold).sum())
