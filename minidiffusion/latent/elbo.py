r"""The evidence lower bound: how probable is a picture, if nobody can try all codes? (article 3.2.1)

A VAE says: a picture x comes from a code z ~ N(0, I) by x = decode(z) + sigma eps. Then p(x) is the mean of p(x | z)
over all z; but hardly any z decodes to x. Draw from the encoder's q(z | x) instead, and pay for it (Kingma & Welling
2014, eq. 1 and 3):

    log p(x)  >=  ELBO  =  E_q log p(x | z) - KL( q(z | x) || N(0, I) )
    log p(x)   =  ELBO  +  KL( q(z | x) || p(z | x) )

So one ascent does two things: pictures become probable, and q becomes the true posterior. sigma is part of the model:
it says how many nats a wrong pixel costs, against those for the code.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.latent.autoencoder import VariationalAutoencoder
from minidiffusion.latent.vae import DiagonalGaussian


def gaussian_log_likelihood(
    x: Float[Tensor, "b *shape"], x_hat: Float[Tensor, "b *shape"], sigma: float | Tensor
) -> Float[Tensor, "b"]:
    r"""log N(x; x_hat, sigma^2) in nats for each sample. sigma > 0: a number, or of the shape of x; else ValueError."""
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    if not (sigma > 0).all():
        raise ValueError(f"sigma is {sigma.min():g}; it must be greater than 0")
    return -0.5 * (((x - x_hat) / sigma).square() + (2 * math.pi * sigma**2).log()).flatten(1).sum(dim=1)


def elbo(
    model: Callable[..., tuple[Tensor, DiagonalGaussian]],
    x: Float[Tensor, "b *shape"],
    sigma: float,
    generator: torch.Generator | None = None,
    beta: float = 1.0,
) -> Float[Tensor, "b"]:
    r"""log p(x | z) - beta KL(q || N(0, I)) for each sample, in nats, with one draw of z. Training ascends its mean.

    model: a `VariationalAutoencoder` or an `AutoencoderKL`. beta > 1 wants simpler codes than the bound does (Higgins
    et al. 2017). It is noise by another name: the optimum is that of beta = 1 with sqrt(beta) sigma for sigma. A large
    one makes the code collapse: no dimension is worth its nats, q(z | x) = N(0, I) for every x, and the decoder answers
    the mean.
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

    In expectation, one sample is the ELBO, more never lower it, and it tends to log p(x). The better q, the sooner:
    for the true posterior all ratios are p(x), and one is enough. Raises ValueError for fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; it must be at least 1")
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
    r"""A KL term that leaves each dimension `floor` nats for free: sum_j max(KL_j, floor) (Kingma et al. 2016).

    KL_j is the mean over the batch, in nats. Below the floor it has no slope: giving a dimension up gains nothing, and
    none collapses. It stands in for the mean of `posterior.kl()`, and is never smaller.
    """
    return posterior.kl_of_each().mean(dim=0).clamp(min=floor).sum()


def active_units(mean: Float[Tensor, "n *shape"], threshold: float = 0.01) -> int:
    r"""How many dimensions of the code are used, by their posterior means for n data (Burda et al. 2016, section 5.2).

    Used is one whose mean has a variance over the data above the threshold; where it collapsed, all x have one mean.
    """
    return int((mean.var(dim=0) > threshold).sum())
