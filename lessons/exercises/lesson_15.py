r"""The exercises of lesson 15: beginning at a picture, keeping what is known, one noise of several."""

import torch

from lessons.check import Exercise, Exercises


def start(x_0, eps, strength, alpha, sigma):
    r"""Which step to begin at, and x there; alpha and sigma `n+1`, from the noisiest to clean, as `drawing.draw`."""
    i = round((1 - strength) * (len(alpha) - 1))
    return i, alpha[i] * x_0 + sigma[i] * eps


def start_cases():
    generator = torch.Generator().manual_seed(0)
    for strength, n in ((0.7, 25), (0.35, 25), (1.0, 10), (0.1, 10), (0.6, 12)):
        angle = torch.linspace(torch.pi / 2, 0, n + 1)
        x_0, eps = torch.randn(2, 2, 3, 4, 4, generator=generator)
        yield x_0, eps, strength, angle.cos(), angle.sin()


def keep(x, known, mask, alpha, sigma, eps):
    r"""x where the mask is 1; elsewhere what is known, at the noise level of x; as `diffusion.inpaint` does."""
    return mask * x + (1 - mask) * (alpha * known + sigma * eps)


def keep_cases():
    generator = torch.Generator().manual_seed(0)
    for alpha, side in ((0.6, 4), (0.28, 6), (1.0, 2)):
        x, known, eps = torch.randn(3, 2, 3, side, side, generator=generator)
        mask = torch.zeros(1, 1, side, side)
        mask[..., side // 2 :] = 1
        yield x, known, mask, alpha, (1 - alpha**2) ** 0.5, eps


def mix(noises, weights):
    r"""One standard normal noise from independent ones: noises `n *shape`, weights `n`."""
    return torch.tensordot(weights, noises, dims=1) / weights.square().sum().sqrt()


def mix_cases():
    generator = torch.Generator().manual_seed(0)
    for weights in ([1.0, 1.0, 1.0], [0.9, 0.3], [2.0, -1.0, 0.5, 1.5], [3.0]):
        yield torch.randn(len(weights), 2, 4, 4, generator=generator), torch.tensor(weights)


# ------------------------------------------------------------------------------------------------- likely mistakes


def started(x_0, eps, i, alpha, sigma):
    return i, alpha[i] * x_0 + sigma[i] * eps


def mixed(noises, weights, by):
    return torch.tensordot(weights, noises, dims=1) / by


check = Exercises(
    start=Exercise(
        start,
        start_cases,
        mistakes={
            "the tables run from noise to clean, so strength 1 begins at entry 0; here it begins at the end":
                lambda x, eps, s, a, b: started(x, eps, round(s * (len(a) - 1)), a, b),
            "the tables have n + 1 entries, so n is one less than their length":
                lambda x, eps, s, a, b: started(x, eps, round((1 - s) * len(a)), a, b),
            "int() cuts off, and of 7.9 steps makes 7; round to the nearest":
                lambda x, eps, s, a, b: started(x, eps, int((1 - s) * (len(a) - 1)), a, b),
            "the picture shrinks while noise comes in: alpha times x_0":
                lambda x, eps, s, a, b: (start(x, eps, s, a, b)[0], x + b[start(x, eps, s, a, b)[0]] * eps),
            "alpha belongs to the picture and sigma to the noise; here they have changed places":
                lambda x, eps, s, a, b: start(eps, x, s, a, b),
            "the strength says at which step to begin; how much noise there is at it, alpha and sigma say":
                lambda x, eps, s, a, b: (start(x, eps, s, a, b)[0], (1 - s) * x + s * eps),
        },
    ),
    keep=Exercise(
        keep,
        keep_cases,
        mistakes={
            "the mask is 1 where something new is drawn; here it is kept there":
                lambda x, known, mask, a, b, eps: keep(x, known, 1 - mask, a, b, eps),
            "what is known must be as noisy as x; here it is clean":
                lambda x, known, mask, a, b, eps: keep(x, known, mask, 1, 0, eps),
            "what is known must shrink by alpha as well as get noise":
                lambda x, known, mask, a, b, eps: keep(x, known, mask, 1, b, eps),
            "x has its own noise already; only what is known gets noise":
                lambda x, known, mask, a, b, eps: mask * x + (1 - mask) * a * known + b * eps,
        },
    ),
    mix=Exercise(
        mix,
        mix_cases,
        mistakes={
            "this is the mean, and the mean of noises is too small: the variance of w eps is w^2":
                lambda noises, w: mixed(noises, w, w.sum()),
            "this is the sum, and the sum of noises is too large: the variances w^2 add up":
                lambda noises, w: mixed(noises, w, 1),
            "the sum of the w^2 is a variance; divide by its root":
                lambda noises, w: mixed(noises, w, w.square().sum()),
            "the root of n is right for equal weights of 1 only":
                lambda noises, w: mixed(noises, w, len(w) ** 0.5),
            "this makes every result exactly as large as the last; true noise has its size on average only":
                lambda noises, w: mixed(noises, w, mixed(noises, w, 1).std()),
        },
    ),
)  # fmt: skip
