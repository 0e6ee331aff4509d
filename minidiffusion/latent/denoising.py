r"""The denoising autoencoder: to repair pictures is to know where they are (article 2.1.2; Vincent et al. 2008).

The input is spoiled by Gaussian noise of one strength sigma, the answer is paid by its squared error to the clean x:

    loss = E | r(x + sigma eps) - x |^2,      eps ~ N(0, I)

No bottleneck is needed: copying the input is not a solution any more, it costs sigma^2 a number. The best r is the
posterior mean, and it differs from its input by a step uphill, to where data are more probable (Tweedie; Vincent 2011;
Alain & Bengio 2014, theorem 1 for small sigma):

    r(x) = E[ clean | noised = x ] = x + sigma^2 grad log p_sigma(x)

This is exact at every sigma, but for p_sigma, the density of the *noised* data: that of the clean data, smoothed by a
Gaussian of width sigma. A diffusion model is this autoencoder for all sigma at once; it is told which by t.
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

    Copying costs sigma^2; the answer 0 costs the mean of x^2. The floor is the posterior variance, and not 0.
    """
    noised = x + sigma * standard_normal_like(x, generator)
    return (model(noised) - x).square().mean()


def score(model: Callable[[Tensor], Tensor], x: Float[Tensor, "b *shape"], sigma: float) -> Float[Tensor, "b *shape"]:
    r"""(r(x) - x) / sigma^2, the gradient of log p_sigma at (noised) x, if r is the best denoiser for this sigma.

    Raises ValueError unless sigma is greater than 0: without noise the best denoiser copies, and knows no score.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; it must be greater than 0")
    return (model(x) - x) / sigma**2
