r"""The exercises of lesson 02: the best possible denoiser of a finite data set, and Tweedie's formula."""

import torch

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.prediction import to_prediction
from minidiffusion.diffusion.schedule import Schedule


def posterior_mean(x_t, data, alpha, sigma):
    r"""E[x_0 | x_t] for data `n d` and x_t `b d`, by the library's ideal denoiser."""
    one = torch.ones(1, dtype=torch.float64)
    schedule = Schedule(torch.cat([one, one * alpha]), torch.cat([0 * one, one * sigma]))
    return ideal.finite_data(data, schedule)(x_t, torch.tensor(1)).x0


def data_cases():
    generator = torch.Generator().manual_seed(0)
    for b, n, d, alpha, sigma in [(3, 5, 2, 0.8, 0.6), (2, 1, 4, 0.5, 0.5), (4, 6, 3, 1.0, 2.0), (2, 3, 2, 0.0, 1.0)]:
        data = torch.randn(n, d, generator=generator, dtype=torch.float64)
        yield torch.randn(b, d, generator=generator, dtype=torch.float64), data, alpha, sigma


def tweedie(x_t, score, alpha, sigma):
    r"""x0_hat from the score, by the library's table of predictions."""
    return to_prediction("score", score, x_t, torch.as_tensor(alpha), torch.as_tensor(sigma)).x0


def score_cases():
    generator = torch.Generator().manual_seed(0)
    for shape, alpha, sigma in [((3, 2), 0.8, 0.6), ((2, 1, 4), 0.5, 0.5), ((5,), 1.0, 2.0)]:
        x_t, score = torch.randn(2, *shape, generator=generator)
        yield x_t, score, alpha, sigma


def weighted(x_t, data, log_weights):
    return torch.softmax(log_weights, dim=1) @ data


check = Exercises(
    posterior_mean=Exercise(
        posterior_mean,
        data_cases,
        mistakes={
            "a Gaussian has 2 sigma^2 below its square; the 2 is missing":
                lambda x, data, a, s: weighted(x, data, -torch.cdist(x, a * data) ** 2 / s**2),
            "sigma must be squared: the exponent is -distance^2 / (2 sigma^2)":
                lambda x, data, a, s: weighted(x, data, -torch.cdist(x, a * data) ** 2 / (2 * s)),
            "compare x_t with alpha x_i, which is where x_i has moved to, not with x_i":
                lambda x, data, a, s: weighted(x, data, -torch.cdist(x, data) ** 2 / (2 * s**2)),
            "the distance must be squared":
                lambda x, data, a, s: weighted(x, data, -torch.cdist(x, a * data) / (2 * s**2)),
            "this is the nearest point; the answer is a mean of all points, weighted by their probabilities":
                lambda x, data, a, s: data[torch.cdist(x, a * data).argmin(1)],
            "the mean is one of x_0; you took it of alpha x_0":
                lambda x, data, a, s: a * posterior_mean(x, data, a, s),
        },
    ),
    tweedie=Exercise(
        tweedie,
        score_cases,
        mistakes={
            "the score points to where the data are, so one must go along it: plus, not minus":
                lambda x, score, a, s: (x - s**2 * score) / a,
            "the step along the score is sigma^2 long, not sigma":
                lambda x, score, a, s: (x + s * score) / a,
            "this is alpha x0_hat; x_0 was shrunk by alpha, so divide":
                lambda x, score, a, s: x + s**2 * score,
        },
    ),
)  # fmt: skip
