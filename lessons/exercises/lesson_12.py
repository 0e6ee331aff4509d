r"""The exercises of lesson 12: reparametrisation, KL, the arc between two codes, the nearest code with its gradient."""

import math
from collections.abc import Callable

import torch

from lessons.check import Exercise, Exercises
from minidiffusion.latent import interpolate
from minidiffusion.latent.vae import DiagonalGaussian


def reparametrise(mean, logvar, eps):
    r"""A draw from N(mean, exp(logvar)), made of eps ~ N(0, I); all of one shape."""
    return mean + (0.5 * logvar).exp() * eps


def draw_cases():
    generator = torch.Generator().manual_seed(0)
    yield tuple(torch.randn(3, 4, 2, generator=generator))
    yield torch.tensor([[5.0]]), torch.tensor([[-4.0]]), torch.tensor([[1.0]])
    yield tuple(torch.randn(3, 2, 3, generator=generator))


def kl(mean, logvar):
    r"""KL(N(mean, exp(logvar)) || N(0, I)) in nats, for each row: two tensors `b k` -> `b`, by the library."""
    return DiagonalGaussian(mean, logvar).kl()


def gaussian_cases():
    generator = torch.Generator().manual_seed(0)
    yield torch.zeros(2, 3), torch.zeros(2, 3)  # the prior itself: 0
    yield tuple(torch.randn(2, 4, 3, generator=generator))
    yield torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -3.0]])


def slerp(a, b, w):
    r"""The arc between the vectors a and b, both `1 d`, at each of the w, `n`: `n d`, by the library."""
    return interpolate.slerp(a, b, w)


def arc_cases():
    generator = torch.Generator().manual_seed(0)
    yield torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([0.0, 0.5, 1.0])
    yield *torch.randn(2, 1, 6, generator=generator), torch.tensor([0.1, 0.7])
    yield torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[-2.0, 1.0, 2.0]]), torch.tensor([0.25])


def straight_through(z, codes):
    r"""For each row of z, `b d`, the nearest of the codes `K d`; the gradient goes to z, as it is, and to no code."""
    e = codes[torch.cdist(z, codes).argmin(dim=1)]
    return z + (e - z).detach()


def code_cases():
    generator = torch.Generator().manual_seed(0)
    yield torch.tensor([[0.2, 0.1], [0.9, 1.2]]), torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 3.0]])
    yield torch.randn(5, 3, generator=generator), torch.randn(4, 3, generator=generator)


# ------------------------------------------------------------------------------------------------- likely mistakes


def gaussian_kl(mean, var, logvar, minus=1.0):
    r"""The formula with other ingredients."""
    return 0.5 * (mean**2 + var - minus - logvar)


def arc(a, b, w, unit=False, degree=1.0):
    r"""An arc with something wrong; unit: a and b are shortened to 1 first."""
    w, lengths = w[:, None], (a.norm(), b.norm())
    theta = degree * torch.arccos((a / lengths[0] * b / lengths[1]).sum())
    a, b = (a / lengths[0], b / lengths[1]) if unit else (a, b)
    return ((1 - w) * theta).sin() / theta.sin() * a + (w * theta).sin() / theta.sin() * b


def unnormalised_arc(a, b, w):
    theta = torch.arccos((a * b).sum())
    return ((1 - w[:, None]) * theta).sin() / theta.sin() * a + (w[:, None] * theta).sin() / theta.sin() * b


def farthest(z, codes):
    e = codes[torch.cdist(z, codes).argmax(1)]
    return z + (e - z).detach()


def by_product(z, codes):
    e = codes[(z @ codes.T).argmax(1)]
    return z + (e - z).detach()


def chosen(z, codes):
    return codes[torch.cdist(z.detach(), codes).argmin(1)]


# ------------------------------------------------------------------------------------------------- gradients


def with_gradients(function: Callable) -> Callable:
    r"""(z, codes) -> (the values, the gradient at z, the gradient at the codes), of a weighted sum of all values."""

    def probe(z, codes):
        z, codes = z.clone().requires_grad_(), codes.clone().requires_grad_()
        z_q = function(z, codes)
        if not isinstance(z_q, torch.Tensor):
            return z_q
        zero = 0 * (z.sum() + codes.sum())  # a path to both, so that what passes nothing passes 0
        weights = 1 + torch.arange(z_q.numel()).view(z_q.shape)
        return z_q, *torch.autograd.grad((z_q * weights).sum() + zero, (z, codes))

    probe.function = function
    return probe


class ExercisesWithGradients(Exercises):
    r"""As Exercises; of `straight_through` the gradients are compared too, and the plain function comes back."""

    def __call__(self, name: str, answer: Callable) -> Callable:
        if name != "straight_through":
            return super().__call__(name, answer)
        return super().__call__(name, with_gradients(answer)).function


check = ExercisesWithGradients(
    reparametrise=Exercise(
        reparametrise,
        draw_cases,
        mistakes={
            "exp(logvar) is the variance; noise is multiplied by the standard deviation, its root":
                lambda mean, logvar, eps: mean + logvar.exp() * eps,
            "logvar is a logarithm: half of it has to go through exp":
                lambda mean, logvar, eps: mean + logvar * eps,
            "the mean is missing":
                lambda mean, logvar, eps: (0.5 * logvar).exp() * eps,
            "this is the mean alone, the most probable code and no draw":
                lambda mean, logvar, eps: mean,
            "the sign of logvar is turned: this divides by the standard deviation":
                lambda mean, logvar, eps: mean + (-0.5 * logvar).exp() * eps,
        },
    ),
    kl=Exercise(
        kl,
        gaussian_cases,
        mistakes={
            "independent numbers add up their nats: sum over the dimensions, not mean":
                lambda mean, logvar: gaussian_kl(mean, logvar.exp(), logvar).mean(1),
            "one KL for each row; this sums over the batch too":
                lambda mean, logvar: gaussian_kl(mean, logvar.exp(), logvar).sum(),
            "exp(logvar / 2) is the standard deviation; the formula has the variance":
                lambda mean, logvar: gaussian_kl(mean, (0.5 * logvar).exp(), logvar).sum(1),
            "the -1 is missing: KL from the prior to itself must be 0":
                lambda mean, logvar: gaussian_kl(mean, logvar.exp(), logvar, minus=0.0).sum(1),
            "the 1/2 is missing":
                lambda mean, logvar: 2 * gaussian_kl(mean, logvar.exp(), logvar).sum(1),
            "log var is subtracted: a narrow q is far from the prior":
                lambda mean, logvar: gaussian_kl(mean, logvar.exp(), -logvar).sum(1),
            "the mean counts squared":
                lambda mean, logvar: 0.5 * (mean + logvar.exp() - 1 - logvar).sum(1),
        },
    ),
    slerp=Exercise(
        slerp,
        arc_cases,
        mistakes={
            "this is lerp, the straight line: half-way it is too short":
                lambda a, b, w: (1 - w[:, None]) * a + w[:, None] * b,
            "a belongs to 1 - w and b to w; this walks from b to a":
                lambda a, b, w: arc(b, a, w),
            "the cosine of the angle needs vectors of length 1: divide the product by both norms":
                unnormalised_arc,
            "only for the angle are a and b shortened to 1; the arc is between a and b themselves":
                lambda a, b, w: arc(a, b, w, unit=True),
            "torch.sin wants radians, and arccos gives them; here they were made degrees":
                lambda a, b, w: arc(a, b, w, degree=180 / math.pi),
        },
    ),
    straight_through=Exercise(
        with_gradients(straight_through),
        code_cases,
        mistakes={
            "argmin has no slope: all of the gradient comes to the codes, nothing to z; detach what is added to z":
                with_gradients(chosen),
            "the codes get a gradient as well; here only z should, the codes have a loss of their own":
                with_gradients(lambda z, codes: chosen(z, codes) + z - z.detach()),
            "this is the farthest code; the distance must be smallest":
                with_gradients(farthest),
            "the largest inner product is not the smallest distance, unless all codes have one length":
                with_gradients(by_product),
            "everything is detached, and nothing comes to z":
                with_gradients(lambda z, codes: chosen(z, codes).detach()),
            "this is z itself; its nearest code is asked for":
                with_gradients(lambda z, codes: z + 0 * codes.sum()),
        },
    ),
)  # fmt: skip
