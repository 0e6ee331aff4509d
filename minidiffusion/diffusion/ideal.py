r"""The best possible denoiser, in closed form: what a network would learn with endless data, time and width.

    x0_hat = E[x_0 | x_t],      eps_hat = (x_t - alpha_t x0_hat) / sigma_t

With it, a sampler can be judged alone: whatever is wrong with its samples is the sampler's fault.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.schedule import Schedule

Denoise = Callable[[Tensor, Tensor], Prediction]


def finite_data(data: Float[Tensor, "n *rest"], schedule: Schedule) -> Denoise:
    r"""For data that are n points and nothing else: a weighted mean of them (Karras et al. 2022, appendix B.3).

        x0_hat = sum_i softmax_i( -|x_t - alpha_t x_i|^2 / (2 sigma_t^2) ) x_i

    Close to t = 0 it knows which point x_t came from, and a sampler gives back the training data: memorising is what
    a perfect network would do. That real ones make *new* pictures is owed to their being imperfect.
    """
    points = data.flatten(1)

    def denoise(x_t: Tensor, t: Tensor) -> Prediction:
        alpha, sigma = schedule.alpha[t].to(x_t), schedule.sigma[t].to(x_t)
        x = x_t.flatten(1)
        # |x|^2 is the same for all points and falls out of the softmax.
        weights = torch.softmax((alpha * x @ points.T - 0.5 * alpha**2 * points.square().sum(1)) / sigma**2, dim=1)
        x0_hat = (weights @ points).reshape(x_t.shape)
        return Prediction(x0_hat, (x_t - alpha * x0_hat) / sigma)

    return denoise


def mixture(
    weights: Float[Tensor, "k"], means: Float[Tensor, "k d"], covariances: Float[Tensor, "k d d"], schedule: Schedule
) -> Denoise:
    r"""For data from a mixture of k Gaussians. Given which one x_t came from, the mean of x_0 is linear in x_t:

        x0_hat_k = mu_k + alpha Sigma_k (alpha^2 Sigma_k + sigma^2 I)^{-1} (x_t - alpha mu_k)

    and the answer is their mean, weighted by the probability that it was Gaussian k. Finite at both ends: at t = 0
    eps_hat is 0, and where alpha = 0, x0_hat is the mean of the data.
    """
    variances, axes = torch.linalg.eigh(covariances)  # Sigma_k = axes diag(variances) axes^T

    def denoise(x_t: Tensor, t: Tensor) -> Prediction:
        alpha, sigma = schedule.alpha[t].to(x_t), schedule.sigma[t].to(x_t)
        spread = alpha**2 * variances + sigma**2  # k d: the variances of x_t, along the same axes
        offset = torch.einsum("kij,bki->bkj", axes, x_t[:, None] - alpha * means)
        log_p = weights.log() - 0.5 * (offset**2 / spread + spread.log()).sum(-1)
        share = torch.softmax(log_p, dim=1)
        x0_hat = means + torch.einsum("kij,bkj->bki", axes, alpha * variances / spread * offset)
        eps_hat = torch.einsum("kij,bkj->bki", axes, sigma / spread * offset)
        return Prediction(torch.einsum("bk,bki->bi", share, x0_hat), torch.einsum("bk,bki->bi", share, eps_hat))

    return denoise
