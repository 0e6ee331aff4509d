r"""The exercises of lesson 03: the posterior, one step of the way back, and the same step written with the noise."""

import torch

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion import forward


def posterior(x_t, x_0, beta_t, alpha_bar_s):
    r"""(mean, variance) of q(x_s | x_t, x_0) for s = t - 1, by the library."""
    alpha_bar_t = (1 - beta_t) * alpha_bar_s
    alpha, sigma = (alpha_bar_t.sqrt(), alpha_bar_s.sqrt()), ((1 - alpha_bar_t).sqrt(), (1 - alpha_bar_s).sqrt())
    return forward.posterior(x_t, x_0, alpha, sigma)


def tables():
    r"""Pairs (beta_t, alpha_bar_s), the last of them for the last step."""
    pairs = ((0.1, 0.8), (0.02, 0.01), (0.6, 0.5), (0.3, 1.0))
    return [torch.tensor(pair, dtype=torch.float64).unbind() for pair in pairs]


def posterior_cases():
    generator = torch.Generator().manual_seed(0)
    for beta_t, alpha_bar_s in tables()[:3]:  # at the last step x_0 alone decides, and precisions are infinite
        x_t, x_0 = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
        yield x_t, x_0, beta_t, alpha_bar_s


def p_step(x_t, x0_hat, beta_t, alpha_bar_s, noise):
    r"""A draw of x_s: the posterior with x0_hat in the place of x_0."""
    mean, var = posterior(x_t, x0_hat, beta_t, alpha_bar_s)
    return mean + var.sqrt() * noise


def step_cases():
    generator = torch.Generator().manual_seed(0)
    for beta_t, alpha_bar_s in tables():
        x_t, x0_hat, noise = torch.randn(3, 3, 2, generator=generator, dtype=torch.float64)
        yield x_t, x0_hat, beta_t, alpha_bar_s, noise


def mean_from_eps(x_t, eps_hat, beta_t, alpha_bar_s):
    r"""The mean of the same step, from the predicted noise."""
    alpha_bar_t = (1 - beta_t) * alpha_bar_s
    return posterior(x_t, (x_t - (1 - alpha_bar_t).sqrt() * eps_hat) / alpha_bar_t.sqrt(), beta_t, alpha_bar_s)[0]


def parts(beta_t, alpha_bar_s):
    r"""1 / variance of what x_0 says about x_s, and of what x_t says about it."""
    return 1 / (1 - alpha_bar_s), (1 - beta_t) / beta_t


def swapped(x_t, x_0, beta_t, alpha_bar_s):
    a, b = parts(beta_t, alpha_bar_s)
    return (b * alpha_bar_s.sqrt() * x_0 + a * x_t / (1 - beta_t).sqrt()) / (a + b), 1 / (a + b)


def precision_for_variance(x_t, x_0, beta_t, alpha_bar_s):
    mean, var = posterior(x_t, x_0, beta_t, alpha_bar_s)
    return mean, 1 / var


def no_root(x_t, x_0, beta_t, alpha_bar_s):
    a, b = parts(beta_t, alpha_bar_s)
    return (a * alpha_bar_s * x_0 + b * x_t / (1 - beta_t)) / (a + b), 1 / (a + b)


def not_undone(x_t, x_0, beta_t, alpha_bar_s):
    a, b = parts(beta_t, alpha_bar_s)
    return (a * alpha_bar_s.sqrt() * x_0 + b * x_t) / (a + b), 1 / (a + b)


check = Exercises(
    posterior=Exercise(
        posterior,
        posterior_cases,
        mistakes={
            "the variance is beta; it must be smaller, for x_0 says something as well":
                lambda x, x0, b, a: (posterior(x, x0, b, a)[0], b),
            "the sharper hill must count more: weigh each mean with its own 1 / variance":
                swapped,
            "the second answer is the precision; the variance is 1 over it":
                precision_for_variance,
            "the roots are missing: x_0 is shrunk by sqrt(alpha_bar_s), x_s by sqrt(1 - beta_t)":
                no_root,
            "x_t = sqrt(1 - beta_t) x_s + noise, so x_t speaks for x_s = x_t / sqrt(1 - beta_t)":
                not_undone,
        },
    ),
    p_step=Exercise(
        p_step,
        step_cases,
        mistakes={
            "the noise must be multiplied by the standard deviation, not by the variance":
                lambda x, x0, b, a, n: posterior(x, x0, b, a)[0] + posterior(x, x0, b, a)[1] * n,
            "this is the mean alone: add noise":
                lambda x, x0, b, a, n: posterior(x, x0, b, a)[0],
            "the noise is added in full: multiply it by the standard deviation":
                lambda x, x0, b, a, n: posterior(x, x0, b, a)[0] + n,
            "this goes back to where x0_hat would be noised to, and forgets x_t":
                lambda x, x0, b, a, n: a.sqrt() * x0 + (1 - a).sqrt() * n,
        },
    ),
    mean_from_eps=Exercise(
        mean_from_eps,
        posterior_cases,
        mistakes={
            "eps_hat is divided by sqrt(1 - alpha_bar_t), not by sqrt(1 - alpha_bar_s)":
                lambda x, e, b, a: (x - b / (1 - a).sqrt() * e) / (1 - b).sqrt(),
            "beta_t / sqrt(1 - alpha_bar_t): the root is missing":
                lambda x, e, b, a: (x - b / (1 - (1 - b) * a) * e) / (1 - b).sqrt(),
            "only one step is undone: divide by sqrt(1 - beta_t), not by sqrt(alpha_bar_t)":
                lambda x, e, b, a: (x - b / (1 - (1 - b) * a).sqrt() * e) / ((1 - b) * a).sqrt(),
            "this takes out all of the noise at once, and undoes one step only":
                lambda x, e, b, a: (x - (1 - (1 - b) * a).sqrt() * e) / (1 - b).sqrt(),
        },
    ),
)  # fmt: skip
