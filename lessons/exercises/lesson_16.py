r"""The exercises of lesson 16: a quantiser with its gradients, one place of cached attention, the next token's odds."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.func import functional_call

from lessons.check import Exercise, Exercises
from minidiffusion.attention.scaled_dot_product import scaled_dot_product
from minidiffusion.latent.vq import VectorQuantizer
from minidiffusion.tokens.sampling import probabilities, super_condition


def quantise(z, codes, beta):
    r"""(z_q, ids, loss) of a latent `b d h w` and codes `K d`, by the library."""
    quantizer = VectorQuantizer(codes.shape[0], codes.shape[1], beta).eval()
    return tuple(functional_call(quantizer, {"embedding.weight": codes}, (z,)))


def latent_cases():
    generator = torch.Generator().manual_seed(0)
    yield torch.randn(2, 2, 2, 3, generator=generator), torch.randn(4, 2, generator=generator), 0.25
    yield torch.randn(1, 3, 2, 2, generator=generator), 2 * torch.randn(5, 3, generator=generator), 0.5


def attend(q, k, v, cache):
    r"""(what the new place finds, the cache with it), by the library: the last row of causal attention over all."""
    k, v = torch.cat([cache[0], k], dim=1), torch.cat([cache[1], v], dim=1)
    return scaled_dot_product(q[None], k[None], v[None])[0], (k, v)


def place_cases():
    generator = torch.Generator().manual_seed(0)
    for n in (0, 1, 4):
        q, k, v = torch.randn(3, 2, 1, 4, generator=generator)
        yield q, k, v, tuple(torch.randn(2, 2, n, 4, generator=generator))


def next_token(c, u, s, p):
    r"""Probabilities of the next token, `K`, of logits with and without the prompt, by the library."""
    return probabilities(super_condition(c[None], u[None], s), top_p=p)[0]


def logit_cases():
    generator = torch.Generator().manual_seed(1)
    for s, p in ((1.0, 1.0), (3.0, 0.9), (0.0, 0.5), (2.0, 0.6)):
        yield *torch.randn(2, 7, generator=generator), s, p


# ------------------------------------------------------------------------------------------------- likely mistakes


def chosen(z, codes, nearest=lambda vectors, codes: torch.cdist(vectors, codes).argmin(dim=1)):
    r"""The codes, channels second, with their gradient, and their ids."""
    b, _, h, w = z.shape
    ids = nearest(z.movedim(1, -1).flatten(0, 2), codes).view(b, h, w)
    return codes[ids].movedim(-1, 1), ids


def quantised(through=lambda z, e: z + (e - z).detach(), loss=None, **how):
    r"""The quantiser with another way through, another loss, or another idea of what is nearest."""

    def answer(z, codes, beta):
        e, ids = chosen(z.detach(), codes, **how)
        pull, commit = F.mse_loss(e, z.detach()), F.mse_loss(z, e.detach())
        return through(z, e), ids, loss(e, z, beta) if loss else pull + beta * commit

    return answer


def without_moving_channels(z, codes, beta):
    b, _, h, w = z.shape
    vectors = z.reshape(-1, codes.shape[1])
    ids = torch.cdist(vectors, codes).argmin(dim=1)
    e = codes[ids].view(z.shape)
    loss = F.mse_loss(e, z.detach()) + beta * F.mse_loss(z, e.detach())
    return z + (e - z).detach(), ids.view(b, h, w), loss


def attended(q, k, v, scale=True, dim=-1):
    scores = q @ k.transpose(1, 2) / (q.shape[-1] ** 0.5 if scale else 1)
    return scores.softmax(dim=dim) @ v


def longer(k, v, cache):
    return torch.cat([cache[0], k], dim=1), torch.cat([cache[1], v], dim=1)


def cut(odds, p, renormalise=True, keep=lambda before, odds, p: before < p):
    r"""The likeliest tokens that together reach p, and how it can go wrong."""
    odds, order = odds.sort(descending=True)
    kept = torch.where(keep(odds.cumsum(0) - odds, odds, p), odds, 0)
    return torch.zeros_like(kept).scatter(0, order, kept / kept.sum() if renormalise else kept)


def guided(c, u, s):
    return (u + s * (c - u)).softmax(0)


# ------------------------------------------------------------------------------------------------- gradients


def with_gradients(function: Callable) -> Callable:
    r"""(z, codes, beta) -> its answers, then the gradients of z_q (a weighted sum) and of the loss at z, codes."""

    def probe(z, codes, beta):
        z, codes = z.clone().requires_grad_(), codes.clone().requires_grad_()
        answer = function(z, codes, beta)
        if not isinstance(answer, tuple) or len(answer) != 3:
            return answer
        z_q, ids, loss = answer
        zero = 0 * (z.sum() + codes.sum())  # a path to both, so that what passes nothing passes 0
        weights = 1 + torch.arange(z_q.numel()).view(z_q.shape)
        of_z_q = torch.autograd.grad((z_q * weights).sum() + zero, (z, codes), retain_graph=True)
        return z_q, ids, loss, *of_z_q, *torch.autograd.grad(loss + zero, (z, codes))

    probe.function = function
    return probe


class ExercisesWithGradients(Exercises):
    r"""As Exercises; of `quantise` the gradients are compared too, and the plain function comes back."""

    def __call__(self, name: str, answer: Callable) -> Callable:
        if name != "quantise":
            return super().__call__(name, answer)
        return super().__call__(name, with_gradients(answer)).function


check = ExercisesWithGradients(
    quantise=Exercise(
        with_gradients(quantise),
        latent_cases,
        mistakes={
            "argmin has no slope, and nothing comes to z: pass the gradient straight through":
                with_gradients(quantised(through=lambda z, e: e)),
            "through z_q the codes get no gradient: they have the loss":
                with_gradients(quantised(through=lambda z, e: z + e - z.detach())),
            "beta stands at the encoder's term, |z - stop(e)|^2; here it slows the codes":
                with_gradients(quantised(loss=lambda e, z, beta: beta * F.mse_loss(e, z.detach())
                                         + F.mse_loss(z, e.detach()))),
            "each term of the loss holds one of the two still, with .detach(); here both move in both":
                with_gradients(quantised(loss=lambda e, z, beta: (1 + beta) * F.mse_loss(e, z))),
            "the loss is the mean over all numbers of z, not the sum":
                with_gradients(quantised(loss=lambda e, z, beta: F.mse_loss(e, z.detach(), reduction="sum")
                                         + beta * F.mse_loss(z, e.detach(), reduction="sum"))),
            "a vector is what stands at one place: move the d channels to the end before you flatten":
                with_gradients(without_moving_channels),
            "the largest inner product is not the smallest distance, unless all codes have one length":
                with_gradients(quantised(nearest=lambda vectors, codes: (vectors @ codes.T).argmax(dim=1))),
        },
    ),
    attend=Exercise(
        attend,
        place_cases,
        mistakes={
            "the new place looks at itself as well: append its key and value first":
                lambda q, k, v, cache: (attended(q, *cache), longer(k, v, cache)),
            "the cache that comes back lacks the new place, and the next one would not see it":
                lambda q, k, v, cache: (attended(q, *longer(k, v, cache)), cache),
            "attention knows no order and does not notice, but in the cache the new place must be the last":
                lambda q, k, v, cache: (attended(q, *longer(k, v, cache)), longer(cache[0], cache[1], (k, v))),
            "the 1/sqrt(d) is missing":
                lambda q, k, v, cache: (attended(q, *longer(k, v, cache), scale=False), longer(k, v, cache)),
            "the softmax is over the places that are looked at, the last dimension":
                lambda q, k, v, cache: (attended(q, *longer(k, v, cache), dim=1), longer(k, v, cache)),
            "this looks at the new place only; what is in the cache counts as well":
                lambda q, k, v, cache: (v, longer(k, v, cache)),
        },
    ),
    next_token=Exercise(
        next_token,
        logit_cases,
        mistakes={
            "mix the logits, then softmax; mixed probabilities can be negative":
                lambda c, u, s, p: cut(u.softmax(0) + s * (c.softmax(0) - u.softmax(0)), p),
            "c and u are exchanged: this leads away from the prompt":
                lambda c, u, s, p: cut(guided(u, c, s), p),
            "s c alone is a lower temperature; what the prompt changes is c - u":
                lambda c, u, s, p: cut((s * c).softmax(0), p),
            "the token that reaches p stays too; here it is cut":
                lambda c, u, s, p: cut(guided(c, u, s), p, keep=lambda before, odds, p: before + odds <= p),
            "what stays must be divided by its sum: probabilities have the sum 1":
                lambda c, u, s, p: cut(guided(c, u, s), p, renormalise=False),
            "no tail was cut":
                lambda c, u, s, p: guided(c, u, s),
            "p is the probability of the kept tokens together, not a threshold for each":
                lambda c, u, s, p: cut(guided(c, u, s), p, keep=lambda before, odds, p: odds >= 1 - p),
        },
    ),
)  # fmt: skip
