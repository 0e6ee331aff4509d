r"""The denoising autoencoder: a network that removes noise has learnt the score (article 2.1.2; Vincent et al. 2008).

The input is x with Gaussian noise of one strength sigma, the target is x itself:

    loss = E | r(x + sigma eps) - x |^2,      eps ~ N(0, I)

No bottleneck is needed: copying the input has an error of sigma^2 a number. The best r is the posterior mean, which
differs from its input by a step along the gradient of the log density (Tweedie; Vincent 2011; Alain & Bengio 2014,
theorem 1 for small sigma):

    r(x) = E[ clean | noised = x ] = x + sigma^2 grad log p_sigma(x)

This is exact at every sigma; p_sigma is the density of the *noised* data, that of the clean data convolved with a
Gaussian of width sigma. A diffusion model is this autoencoder for all sigma at once, with t as an input.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.forward import standard_normal_like


def denoising_loss(
    model: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b *shape"],
    sigma: float,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    r"""The mean squared error a number of model(x + sigma eps) to x, for one draw of noise a sample.

    For model(x) = x it is sigma^2, for model(x) = 0 the mean of x^2. The minimum is the posterior variance, not 0.
    """
    noised = x + sigma * standard_normal_like(x, generator)
    return (model(noised) - x).square().mean()


def score(model: Callable[[Tensor], Tensor], x: Float[Tensor, "b *shape"], sigma: float) -> Float[Tensor, "b *shape"]:
    r"""(r(x) - x) / sigma^2, the gradient of log p_sigma at (noised) x, if r is the best denoiser for this sigma.

    Raises ValueError unless sigma is greater than 0: without noise the best denoiser is the identity.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be greater than 0, got {sigma}")
    return (model(x) - x) / sigma**2
