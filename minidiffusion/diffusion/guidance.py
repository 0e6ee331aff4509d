r"""Guidance: strengthening the effect of the prompt (Ho & Salimans 2022, eq. 6).

    eps = eps_u + scale * (eps_c - eps_u)

eps_c is predicted with the prompt, eps_u without one. `scale` extrapolates along the difference: 0 ignores the prompt,
1 is the network's own conditional prediction, more exaggerates the prompt. A *negative prompt* takes the place of the
empty one, and is avoided. Classifier guidance, which came first, takes the direction from a classifier of noisy
pictures.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .prediction import Denoise, Prediction
from .schedule import Schedule


def combine(u: Prediction, c: Prediction, scale: float) -> Prediction:
    r"""u + scale (c - u), in eps and in x_0: both are affine in the network's output, so they stay consistent.

    nu, the variance of the reverse step, is not extrapolated; it is that of c.
    """
    return Prediction(x0=u.x0 + scale * (c.x0 - u.x0), eps=u.eps + scale * (c.eps - u.eps), nu=c.nu)


def classifier_free(
    denoise: Callable[[Tensor, Tensor, Tensor], Prediction],
    prompt: Float[Tensor, "b n d"],
    negative: Float[Tensor, "b n d"],
    scale: float,
) -> Denoise:
    r"""A denoiser (x_t, t) guided toward `prompt` and away from `negative`, often the empty prompt's tokens.

    Both predictions come from one batch of twice the size; at scale 1 only that for the prompt is made.
    """

    def guided(x_t: Tensor, t: Tensor) -> Prediction:
        if scale == 1:
            return denoise(x_t, t, prompt)
        both = denoise(torch.cat([x_t, x_t]), t, torch.cat([negative, prompt]))
        halves = zip(*(part.chunk(2) for part in both if part is not None), strict=True)  # nu may be None
        u, c = (Prediction(*half) for half in halves)
        return combine(u, c, scale)

    return guided


def composed(
    denoise: Callable[[Tensor, Tensor, Tensor], Prediction],
    prompts: Sequence[Float[Tensor, "b n d"]],
    weights: Sequence[float],
    negative: Float[Tensor, "b n d"],
    scale: float,
) -> Denoise:
    r"""Guided by several prompts at once, in proportion to their weights (Liu et al. 2022, eq. 11):

        eps = eps_u + scale * sum_k w_k (eps_k - eps_u) / sum_k w_k

    A prompt of negative weight is avoided. All predictions come from one batch. One prompt is `classifier_free`.
    Raises ValueError unless the sum of the weights is greater than 0.
    """
    total = math.fsum(weights)
    if not total > 0:
        raise ValueError(f"the sum of the weights must be greater than 0, got {total:g}")
    if len(prompts) == 1:
        return classifier_free(denoise, prompts[0], negative, scale)

    def guided(x_t: Tensor, t: Tensor) -> Prediction:
        n = 1 + len(prompts)
        everything = denoise(torch.cat([x_t] * n), t, torch.cat([negative, *prompts]))
        x0, eps = (part.unflatten(0, (n, len(x_t))) for part in everything[:2])
        w = torch.tensor(weights, dtype=x_t.dtype, device=x_t.device) / total
        toward = [part[0] + scale * torch.tensordot(w, part[1:] - part[0], 1) for part in (x0, eps)]
        return Prediction(*toward)

    return guided


def classifier(
    denoise: Denoise,
    log_prob: Callable[[Tensor, Tensor], Float[Tensor, "b"]],
    schedule: Schedule,
    scale: float = 1.0,
) -> Denoise:
    r"""Guidance by a classifier of noisy pictures, log_prob(x_t, t) = log p(y | x_t) (Dhariwal & Nichol 2021, alg. 2).

        eps = eps_hat - scale sigma_t grad log p(y | x_t)

    By Bayes' rule this is the denoiser of p(x | y), exactly so at scale 1 with the true p(y | x_t). Needs alpha_t > 0.
    Enables gradients for log_prob alone, so it works under `torch.no_grad` too.
    """

    def guided(x_t: Tensor, t: Tensor) -> Prediction:
        x0_hat, eps_hat, nu = denoise(x_t, t)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(log_prob(x, t).sum(), x)
        alpha, sigma = schedule.alpha[t].to(x_t), schedule.sigma[t].to(x_t)
        shift = scale * sigma * gradient
        return Prediction(x0=x0_hat + sigma / alpha * shift, eps=eps_hat - shift, nu=nu)

    return guided
