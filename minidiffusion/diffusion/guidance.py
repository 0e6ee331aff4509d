r"""Guidance: pushing the picture toward the prompt (Ho & Salimans 2022, eq. 6).

    eps = eps_u + scale * (eps_c - eps_u)

eps_c is predicted with the prompt, eps_u without one. The difference is the direction that the prompt adds, and
`scale` says how far to go along it: 0 ignores the prompt, 1 follows the network, more exaggerates. A *negative
prompt* takes the place of "no prompt": the picture is pushed away from it. Before networks learnt both, a classifier of
noisy pictures did the pushing.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.schedule import Schedule


def combine(u: Prediction, c: Prediction, scale: float) -> Prediction:
    r"""u + scale (c - u), in eps and in x_0: both are affine in the network's answer, so they stay consistent.

    How wide the reverse step is (nu) is no direction to exaggerate; it is taken from c.
    """
    return Prediction(x0=u.x0 + scale * (c.x0 - u.x0), eps=u.eps + scale * (c.eps - u.eps), nu=c.nu)


def classifier_free(
    denoise: Callable[[Tensor, Tensor, Tensor], Prediction],
    prompt: Float[Tensor, "b n d"],
    negative: Float[Tensor, "b n d"],
    scale: float,
) -> Callable[[Tensor, Tensor], Prediction]:
    r"""A denoiser (x_t, t) that is guided toward `prompt` and away from `negative` (the empty prompt's tokens).

    Both predictions come from one batch of twice the size; at scale 1 the second one is not needed and not made.
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
) -> Callable[[Tensor, Tensor], Prediction]:
    r"""Guided by several prompts at once, each as much as its weight says (Liu et al. 2022, eq. 11):

        eps = eps_u + scale * sum_k w_k (eps_k - eps_u) / sum_k w_k

    A prompt of negative weight pushes away. All predictions come from one batch. One prompt is `classifier_free`.
    Raises ValueError unless the sum of the weights is more than 0.
    """
    total = math.fsum(weights)
    if not total > 0:
        raise ValueError(f"The sum of the weights must be more than 0, but is {total:g}.")
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
    denoise: Callable[[Tensor, Tensor], Prediction],
    log_prob: Callable[[Tensor, Tensor], Float[Tensor, "b"]],
    schedule: Schedule,
    scale: float = 1.0,
) -> Callable[[Tensor, Tensor], Prediction]:
    r"""Guidance by a classifier of noisy pictures, log_prob(x_t, t) = log p(y | x_t) (Dhariwal & Nichol 2021, alg. 2).

        eps = eps_hat - scale sigma_t grad log p(y | x_t)

    By Bayes' rule this is the denoiser of p(x | y), exactly so at scale 1 with the true p(y | x_t). Needs alpha_t > 0.
    """

    def guided(x_t: Tensor, t: Tensor) -> Prediction:
        x0_hat, eps_hat, nu = denoise(x_t, t)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(log_prob(x, t).sum(), x)
        alpha, sigma = schedule.alpha[t].to(x_t), schedule.sigma[t].to(x_t)
        pull = scale * sigma * gradient
        return Prediction(x0=x0_hat + sigma / alpha * pull, eps=eps_hat - pull, nu=nu)

    return guided
