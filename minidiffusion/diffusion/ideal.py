r"""The best possible denoiser, in closed form: what a network would learn with infinite data, training and width.

    x0_hat = E[x_0 | x_t],      eps_hat = (x_t - alpha_t x0_hat) / sigma_t

With it, a sampler can be tested alone: every error of its samples is the sampler's own.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .prediction import Denoise, Prediction
from .schedule import Schedule


def finite_data(data: Float[Tensor, "n *rest"], schedule: Schedule) -> Denoise:
    r"""For data that are n points of equal probability: a weighted mean (Karras et al. 2022, appendix B.3).

        x0_hat = sum_i softmax_i( -|x_t - alpha_t x_i|^2 / (2 sigma_t^2) ) x_i

    Close to t = 0 the softmax selects the point that x_t came from, and a sampler reproduces the training data: a
    perfect network would memorise. Real networks make new pictures because they are imperfect.
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
    r"""For data from a mixture of k Gaussians. Given the component of x_t, the mean of x_0 is linear in x_t:

        x0_hat_k = mu_k + alpha Sigma_k (alpha^2 Sigma_k + sigma^2 I)^{-1} (x_t - alpha mu_k)

    and x0_hat is their mean, weighted by the posterior probability of component k. Finite at both ends: at t = 0
    eps_hat is 0, and where alpha = 0, x0_hat is the mean of the data.
    """
    variances, axes = torch.linalg.eigh(covariances)  # Sigma_k = axes diag(variances) axes^T

    def denoise(x_t: Tensor, t: Tensor) -> Prediction:
        alpha, sigma = schedule.alpha[t].to(x_t), schedule.sigma[t].to(x_t)
        variances_t = alpha**2 * variances + sigma**2  # k d: those of x_t, along the same axes
        offset = torch.einsum("kij,bki->bkj", axes, x_t[:, None] - alpha * means)
        log_p = weights.log() - 0.5 * (offset**2 / variances_t + variances_t.log()).sum(-1)
        posterior = torch.softmax(log_p, dim=1)
        x0_hat = means + torch.einsum("kij,bkj->bki", axes, alpha * variances / variances_t * offset)
        eps_hat = torch.einsum("kij,bkj->bki", axes, sigma / variances_t * offset)
        return Prediction(*(torch.einsum("bk,bki->bi", posterior, each) for each in (x0_hat, eps_hat)))

    return denoise
