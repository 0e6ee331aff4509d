r"""The exercises of lesson 14: dropping captions, guidance in one batch, and what guidance does to a density."""

import torch

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion.guidance import classifier_free
from minidiffusion.diffusion.prediction import Prediction


def drop_captions(captions, u, p):
    r"""Each caption on its own becomes "" with probability p; u: a uniform random number in [0, 1) for each."""
    return ["" if number < p else caption for caption, number in zip(captions, u.tolist(), strict=True)]


def caption_cases():
    yield ["a red house", "夜晚的猫", "a boat, ink"], torch.tensor([0.05, 0.7, 0.2]), 0.1
    yield ["a", "b", "c", "d"], torch.tensor([0.5, 0.1, 0.9, 0.3]), 0.4
    yield ["a cat", "a tree"], torch.tensor([0.9, 0.3]), 0.5


def guided(network, x_t, t, prompt, negative, scale):
    r"""The network's guided answer, by the library: of the shape of x_t."""

    def denoise(x, times, context):
        answer = network(x, times.repeat(len(x) // len(times)), context)
        return Prediction(answer, answer)

    return classifier_free(denoise, prompt, negative, scale)(x_t, t).eps


def bend(x, t, context):
    r"""Stands for a network: its answer depends on all three, row by row, and on none linearly."""
    rows = (0.1 * t + context.square().mean(dim=(1, 2))).reshape(-1, *[1] * (x.ndim - 1))
    return torch.tanh(x + rows)


def guidance_cases():
    generator = torch.Generator().manual_seed(0)
    for b, shape, scale in ((1, (4, 2, 2), 2.5), (3, (2, 3, 3), 7.0), (2, (1, 2, 2), 0.5)):
        x_t, t = torch.randn(b, *shape, generator=generator), torch.arange(1, b + 1)
        prompt, negative = torch.randn(2, b, 5, 3, generator=generator)
        yield bend, x_t, t, prompt, negative, scale


def sharpened(c, var, s):
    r"""Mean and variance of the density p(x)^(1-s) p(x|c)^s, for p(x) = N(0, 1) and p(x|c) = N(c, var)."""
    precision = (1 - s) + s / var
    return s * c / var / precision, 1 / precision


def density_cases():
    yield 0.7, 0.5, 2.0
    yield -1.2, 0.25, 7.5
    yield 0.3, 0.8, 0.5


# ------------------------------------------------------------------------------------------------- likely mistakes


def asked(network, x_t, t, prompt, negative):
    return network(x_t, t, negative), network(x_t, t, prompt)


def away_from(network, x_t, t, prompt, negative, scale):
    r"""Guidance away from the negative prompt, beginning at the prompt: (1 + w) eps_c - w eps_u with w = scale."""
    u, c = asked(network, x_t, t, prompt, negative)
    return c + scale * (c - u)


check = Exercises(
    drop_captions=Exercise(
        drop_captions,
        caption_cases,
        mistakes={
            "each caption is dropped on its own; here the first number decides for the whole batch":
                lambda captions, u, p: [""] * len(captions) if u[0] < p else captions,
            "this drops all but the share p: u is below p with probability p":
                lambda captions, u, p: ["" if x >= p else c for c, x in zip(captions, u.tolist(), strict=True)],
            "a dropped caption becomes the empty one; its picture stays in the batch, so the list keeps its length":
                lambda captions, u, p: [c for c, x in zip(captions, u.tolist(), strict=True) if x >= p],
            "how many are dropped is chance as well; here it is always the share p, those with the smallest numbers":
                lambda captions, u, p: ["" if x in sorted(u.tolist())[:round(p * len(u))] else c
                                        for c, x in zip(captions, u.tolist(), strict=True)],
        },
    ),
    guided=Exercise(
        guided,
        guidance_cases,
        mistakes={
            "prompt and negative have changed places: this walks away from what was asked for":
                lambda network, x, t, prompt, negative, s: guided(network, x, t, negative, prompt, s),
            "begin at the answer to the negative prompt: at scale 1 this exaggerates already":
                away_from,
            "this is the answer to the prompt alone; guidance is missing":
                lambda network, x, t, prompt, negative, s: network(x, t, prompt),
            "add scale times the difference, not scale times the answer to the prompt":
                lambda network, x, t, prompt, negative, s: network(x, t, negative) + s * network(x, t, prompt),
            "mixing the contexts is something else: the network is not linear; mix its two answers":
                lambda network, x, t, prompt, negative, s: network(x, t, negative + s * (prompt - negative)),
        },
    ),
    sharpened=Exercise(
        sharpened,
        density_cases,
        mistakes={
            "this moves the mean as if nothing became narrower: the precisions 1/var count, not only the means":
                lambda c, var, s: (s * c, var),
            "the precision is 1 - s + s/var; the part of p(x), 1 - s, is missing":
                lambda c, var, s: (c, var / s),
            "this is the precision; the variance is one over it":
                lambda c, var, s: (sharpened(c, var, s)[0], 1 / sharpened(c, var, s)[1]),
            "this is the standard deviation; give the variance":
                lambda c, var, s: (sharpened(c, var, s)[0], sharpened(c, var, s)[1] ** 0.5),
            "both exponents must be there: 1 - s for p(x), s for p(x|c); here p(x) has the exponent 1":
                lambda c, var, s: (s * c / var / (1 + s / var), 1 / (1 + s / var)),
        },
    ),
)  # fmt: skip
