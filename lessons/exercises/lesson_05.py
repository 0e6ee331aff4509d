r"""The exercises of lesson 05: the three repairs without which the article's listing learns and draws nothing."""

import torch
import torch.nn.functional as F

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion.forward import posterior, standard_normal_like


def training_loss(network, x_0, alpha_bar_t, seed):
    r"""The mean squared error of network(x_t) for the noise that is in x_t: a number."""
    eps = standard_normal_like(x_0, torch.Generator().manual_seed(seed))
    return F.mse_loss(network(noised(x_0, eps, alpha_bar_t)), eps)


def noised(x_0, eps, alpha_bar_t):
    a = alpha_bar_t.reshape(-1, *[1] * (x_0.ndim - 1))
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


def halve(x_t):
    r"""A network whose answers are easy to tell apart from 0 and from the noise."""
    return 0.5 * x_t


def loss_cases():
    generator = torch.Generator().manual_seed(0)
    for b, seed in ((2, 1), (4, 2), (1, 3)):
        yield halve, torch.randn(b, 3, 4, 4, generator=generator), torch.rand(b, generator=generator), seed


def two_noises(network, x_0, alpha_bar_t, seed):
    generator = torch.Generator().manual_seed(seed)
    added, asked = (torch.randn(x_0.shape, generator=generator) for _ in range(2))
    return F.mse_loss(network(noised(x_0, added, alpha_bar_t)), asked)


def with_one_noise(loss):
    r"""A wrong loss(network, x_0, eps, alpha_bar_t) in the shape of the exercise."""
    return lambda network, x_0, a, seed: loss(
        network, x_0, standard_normal_like(x_0, torch.Generator().manual_seed(seed)), a
    )


def with_time(x_t, t, n_steps):
    r"""x_t `b c h w` with one more channel at its end, which is t / n_steps everywhere."""
    b, _, h, w = x_t.shape
    return torch.cat([x_t, (t / n_steps).reshape(b, 1, 1, 1).expand(b, 1, h, w)], dim=1)


def time_cases():
    generator = torch.Generator().manual_seed(0)
    for shape, n_steps in (((3, 3, 4, 4), 1000), ((2, 1, 5, 3), 50), ((4, 4, 4, 4), 10)):
        t = torch.randint(0, n_steps, shape[:1], generator=generator)
        yield torch.randn(shape, generator=generator), t, n_steps


def reverse_step(x_t, eps_hat, beta_t, alpha_bar_t, noise):
    r"""One step of the article's sampler with sigma_t^2 = beta_t, by the library's posterior."""
    alpha, sigma = alpha_bar_t.sqrt(), (1 - alpha_bar_t).sqrt()
    earlier = alpha_bar_t / (1 - beta_t)
    x0_hat = (x_t - sigma * eps_hat) / alpha
    mean, _ = posterior(x_t, x0_hat, (alpha, earlier.sqrt()), (sigma, (1 - earlier).sqrt()))
    return mean + beta_t.sqrt() * noise


def step_cases():
    generator = torch.Generator().manual_seed(0)
    for beta, before in ((0.01, 0.8), (0.02, 0.01), (0.3, 0.5)):
        x_t, eps_hat, noise = torch.randn(3, 2, 3, 4, 4, generator=generator, dtype=torch.float64)
        beta_t = torch.tensor(beta, dtype=torch.float64)
        yield x_t, eps_hat, beta_t, before * (1 - beta_t), noise


def step_with(noise_factor, eps_factor=lambda b, a: b / (1 - a).sqrt(), shrink=lambda b, a: (1 - b).sqrt()):
    return lambda x, eps, b, a, noise: (x - eps_factor(b, a) * eps) / shrink(b, a) + noise_factor(b) * noise


check = Exercises(
    training_loss=Exercise(
        training_loss,
        loss_cases,
        mistakes={
            "the noise you ask for is not the noise you added: draw it once, and use it twice":
                two_noises,
            "the roots are missing: alpha_bar is a share of the variance":
                with_one_noise(lambda f, x, eps, a: F.mse_loss(
                    f(a[:, None, None, None] * x + (1 - a)[:, None, None, None] * eps), eps)),
            "this asks the network for the clean picture, not for the noise":
                with_one_noise(lambda f, x, eps, a: F.mse_loss(f(noised(x, eps, a)), x)),
            "the network must see x_t, not the clean picture":
                with_one_noise(lambda f, x, eps, a: F.mse_loss(f(x), eps)),
            "this is the sum of the squared errors; take the mean":
                with_one_noise(lambda f, x, eps, a: F.mse_loss(f(noised(x, eps, a)), eps, reduction="sum")),
        },
    ),
    with_time=Exercise(
        with_time,
        time_cases,
        mistakes={
            "the time must lie between 0 and 1: divide by n_steps":
                lambda x, t, n: with_time(x, t, 1),
            "every sample has a time of its own; here all have the time of the first":
                lambda x, t, n: with_time(x, t[:1].expand(len(x)), n),
            "the new channel belongs behind those of the picture":
                lambda x, t, n: with_time(x, t, n).roll(1, dims=1),
        },
    ),
    reverse_step=Exercise(
        reverse_step,
        step_cases,
        mistakes={
            "the noise is added in full; its standard deviation must be sqrt(beta_t)":
                step_with(lambda b: 1),
            "the noise is missing: the step is a draw from a Gaussian, not its mean":
                step_with(lambda b: 0),
            "beta_t is the variance of the noise; multiply by its root":
                step_with(lambda b: b),
            "eps_hat must be divided by sqrt(1 - alpha_bar_t)":
                step_with(torch.sqrt, eps_factor=lambda b, a: b),
            "x must be made larger again: divide by sqrt(1 - beta_t)":
                step_with(torch.sqrt, shrink=lambda b, a: 1),
            "divide by sqrt(1 - beta_t), which undoes one step; sqrt(alpha_bar_t) undoes all of them":
                step_with(torch.sqrt, shrink=lambda b, a: a.sqrt()),
        },
    ),
)  # fmt: skip
