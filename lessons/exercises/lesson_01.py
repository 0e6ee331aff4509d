r"""The exercises of lesson 01: one step of the forward process, many steps at once, and the jump."""

import torch

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion import forward
from minidiffusion.diffusion.schedule import from_alpha_bar, from_beta


def q_step(x, beta, eps):
    r"""One step with the variance beta, by the library's `single_step` in a schedule of one step."""
    alpha_bar = torch.tensor([1.0, 1.0 - float(beta)], dtype=torch.float64)
    return forward.single_step(from_alpha_bar(alpha_bar), x[None], torch.tensor([1]), eps[None])[0]


def step_cases():
    generator = torch.Generator().manual_seed(0)
    for shape, beta in [((3, 8, 8), 0.01), ((2,), 0.5), ((1, 4), 0.0), ((5, 3), 0.9)]:
        yield torch.randn(shape, generator=generator), beta, torch.randn(shape, generator=generator)


def compose(beta):
    r"""What all steps together do to x_0: (the factor it is multiplied by, the variance of the noise)."""
    schedule = from_beta(beta)
    return schedule.alpha[-1].item(), schedule.sigma[-1].item() ** 2


def beta_cases():
    yield (torch.tensor([0.1], dtype=torch.float64),)
    yield (torch.tensor([0.1, 0.2], dtype=torch.float64),)
    yield (torch.tensor([0.36, 0.75, 0.5], dtype=torch.float64),)
    yield (torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64),)


def mix(signal, x_0, noise, eps):
    r"""signal x_0 + noise eps, for factors `b`, one for each sample."""
    shape = (-1, *[1] * (x_0.ndim - 1))
    return signal.reshape(shape) * x_0 + noise.reshape(shape) * eps


def q_sample(x_0, alpha_bar, eps):
    r"""The jump: x_0 `b ...`, alpha_bar `b`, one for each sample."""
    return mix(alpha_bar.sqrt(), x_0, (1 - alpha_bar).sqrt(), eps)


def jump_cases():
    generator = torch.Generator().manual_seed(0)
    for shape in [(4, 3, 8, 8), (5, 2), (2, 7), (8, 1, 8, 8)]:  # the last: a missing reshape raises no error there
        noise = torch.randn(2, *shape, generator=generator)
        yield noise[0], torch.linspace(0.05, 0.95, shape[0]), noise[1]


check = Exercises(
    q_step=Exercise(
        q_step,
        step_cases,
        mistakes={
            "beta is a variance, and noise is multiplied by its standard deviation: take the square root":
                lambda x, beta, eps: (1 - beta) ** 0.5 * x + beta * eps,
            "x must shrink as well, by sqrt(1 - beta), or the variance grows with every step":
                lambda x, beta, eps: x + beta**0.5 * eps,
            "x shrinks by the square root of 1 - beta":
                lambda x, beta, eps: (1 - beta) * x + beta**0.5 * eps,
            "signal and noise have changed places":
                lambda x, beta, eps: beta**0.5 * x + (1 - beta) ** 0.5 * eps,
        },
    ),
    compose=Exercise(
        compose,
        beta_cases,
        mistakes={
            "variances do not simply add up: each later step shrinks the noise that is already there":
                lambda beta: (compose(beta)[0], beta.sum().item()),
            "the first number is the factor of x_0, sqrt(alpha_bar), not alpha_bar":
                lambda beta: (compose(beta)[0] ** 2, compose(beta)[1]),
            "the second number is the variance, not the standard deviation":
                lambda beta: (compose(beta)[0], compose(beta)[1] ** 0.5),
            "the factors 1 - beta are multiplied, not their mean taken":
                lambda beta: ((1 - beta.mean()).item() ** (len(beta) / 2), 1 - (1 - beta.mean()).item() ** len(beta)),
        },
    ),
    q_sample=Exercise(
        q_sample,
        jump_cases,
        mistakes={
            "alpha_bar is a share of the variance; x_0 and eps are multiplied by the square roots":
                lambda x, a, eps: mix(a, x, 1 - a, eps),
            "the noise is multiplied by sqrt(1 - alpha_bar), so that the variances add up to 1":
                lambda x, a, eps: mix(a.sqrt(), x, 1 - a.sqrt(), eps),
            "every sample of the batch has its own alpha_bar; you gave all of them the first one":
                lambda x, a, eps: q_sample(x, a[:1].expand(len(a)), eps),
            "signal and noise have changed places":
                lambda x, a, eps: q_sample(eps, a, x),
        },
    ),
)  # fmt: skip
