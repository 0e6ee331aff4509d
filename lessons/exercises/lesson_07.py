r"""The exercises of lesson 07: the accept rule, a Langevin step, its bias, and R-hat."""

import math

import torch

from lessons.check import Exercise, Exercises
from minidiffusion.mcmc import metropolis


def accept_probability(log_p_to, log_p_from):
    r"""The probability of accepting a symmetric move: min(1, p(to) / p(from)), by the library."""
    return metropolis.accept_probability(log_p_to, log_p_from)


def move_cases():
    yield torch.tensor([-1.0, 0.5, -3.0]), torch.tensor([-2.0, 0.5, -1.0])
    yield torch.tensor([-800.0, 700.0]), torch.tensor([-900.0, 800.0])  # p itself would be 0 or infinite
    yield torch.tensor([0.0]), torch.tensor([0.3])


def ula_step(x, score, step, noise):
    r"""One step of the unadjusted Langevin algorithm."""
    return x + step * score + math.sqrt(2 * step) * noise


def step_cases():
    generator = torch.Generator().manual_seed(0)
    for shape, step in (((4, 2), 0.1), ((3,), 0.7), ((2, 1, 3), 1e-3)):
        x, score, noise = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
        yield x, score, step, noise


def ula_variance(s, step):
    r"""The variance that ULA ends up with where p is N(0, s^2)."""
    return s**2 / (1 - step / (2 * s**2))


def variance_cases():
    yield 1.0, 0.1
    yield 0.5, 0.05
    yield 2.0, 3.0


def rhat(draws):
    r"""The potential scale reduction of Gelman and Rubin (1992) for draws `n c`: a number."""
    n = len(draws)
    within, between = draws.var(dim=0).mean(), draws.mean(dim=0).var()
    return ((n - 1) / n + between / within).sqrt()


def draw_cases():
    generator = torch.Generator().manual_seed(0)
    for n, c, apart in ((50, 4, 0.0), (30, 3, 2.0), (10, 2, 0.5)):
        yield (torch.randn(n, c, generator=generator, dtype=torch.float64) + apart * torch.arange(c),)


check = Exercises(
    accept_probability=Exercise(
        accept_probability,
        move_cases,
        mistakes={
            "the ratio is upside down: a move to where p is larger must always be accepted":
                lambda to, at: (at - to).exp().clamp(max=1),
            "a probability is at most 1":
                lambda to, at: (to - at).exp(),
            "take the ratio before the exponential: exp(-800) / exp(-900) is 0 / 0 for a computer":
                lambda to, at: (to.exp() / at.exp()).clamp(max=1),
            "this accepts uphill moves only; then it is a search for the maximum and no sampler":
                lambda to, at: (to >= at).to(to.dtype),
        },
    ),
    ula_step=Exercise(
        ula_step,
        step_cases,
        mistakes={
            "the noise has the standard deviation sqrt(2 step); the 2 is missing":
                lambda x, s, h, z: x + h * s + math.sqrt(h) * z,
            "the noise has the standard deviation sqrt(2 step); the root is missing":
                lambda x, s, h, z: x + h * s + 2 * h * z,
            "this walks down the slope; the score points to where p is larger":
                lambda x, s, h, z: x - h * s + math.sqrt(2 * h) * z,
            "this is h/2 of the score with sqrt(2 h) of noise: too hot by a factor 2":
                lambda x, s, h, z: x + h / 2 * s + math.sqrt(2 * h) * z,
            "without noise this climbs to the next maximum and stays there":
                lambda x, s, h, z: x + h * s,
        },
    ),
    ula_variance=Exercise(
        ula_variance,
        variance_cases,
        mistakes={
            "this is the variance of p; the steps are not infinitely small":
                lambda s, h: s**2,
            "the factor in front of x is 1 - step/s^2; squared, its last term is (step/s^2)^2":
                lambda s, h: s**2 / (1 - h / s**2),
            "ULA is too wide, not too narrow":
                lambda s, h: s**2 * (1 - h / (2 * s**2)),
            "this is the standard deviation":
                lambda s, h: math.sqrt(ula_variance(s, h)),
        },
    ),
    rhat=Exercise(
        rhat,
        draw_cases,
        mistakes={
            "this is R-hat squared: take the root":
                lambda d: rhat(d) ** 2,
            "W is the mean of the chains' variances, not the variance of all draws":
                lambda d: ((len(d) - 1) / len(d) + d.mean(0).var() / d.var()).sqrt(),
            "variances of samples divide by n - 1, those of the chains' means by c - 1":
                lambda d: ((len(d) - 1) / len(d)
                           + d.mean(0).var(correction=0) / d.var(0, correction=0).mean()).sqrt(),
            "mean and variance are taken over the chains; draws go down, chains go across":
                lambda d: rhat(d.T),
        },
    ),
)  # fmt: skip
