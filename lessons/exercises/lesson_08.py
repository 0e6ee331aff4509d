r"""The exercises of lesson 08: attention, heads, the variance of a score, and a pre-norm step."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange

from lessons.check import Exercise, Exercises
from minidiffusion.attention import scaled_dot_product


def attention(q, k, v):
    r"""softmax(Q K^T / sqrt(d)) V, by the library: q `... m d`, k and v `... n d`."""
    return scaled_dot_product(q, k, v)


def attention_cases():
    generator = torch.Generator().manual_seed(0)
    for q_shape, k_shape in (((2, 4, 8), (2, 5, 8)), ((3, 16), (3, 16)), ((1, 2, 3, 4), (1, 2, 6, 4))):
        q, k, v = (torch.randn(shape, generator=generator) for shape in (q_shape, k_shape, k_shape))
        yield 2 * q, k, v


def multi_head(q, k, v, heads):
    r"""Attention in several heads: q `b m c`, k and v `b n c` -> `b m c`, each head c / heads wide."""
    q, k, v = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (q, k, v))
    return rearrange(scaled_dot_product(q, k, v), "b h m d -> b m (h d)")


def head_cases():
    generator = torch.Generator().manual_seed(0)
    for b, m, n, c, heads in ((2, 4, 4, 8, 2), (1, 3, 5, 12, 4), (2, 6, 2, 12, 3)):
        q, k, v = (torch.randn(b, length, c, generator=generator) for length in (m, n, n))
        yield 2 * q, k, v, heads


def score_variance(d, s):
    r"""The variance of q . k for independent numbers of mean 0 and standard deviation s."""
    return d * s**4


def variance_cases():
    yield 32, 1.0
    yield 64, 0.5
    yield 5, 2.0


def pre_norm(x, layer, eps=1e-5):
    r"""x + layer(LayerNorm(x)); x `b n c`, the norm over c and without weights."""
    return x + layer(F.layer_norm(x, x.shape[-1:], eps=eps))


def swirl(x):
    r"""Stands for attention: mixes the tokens and is not linear."""
    return torch.tanh(x.flip(1) + 0.5 * x.roll(1, dims=2))


def norm_cases():
    generator = torch.Generator().manual_seed(0)
    for shape, size in (((2, 4, 8), 3.0), ((1, 6, 6), 0.01), ((3, 2, 5), 1.0)):
        yield 1 + size * torch.randn(shape, generator=generator, dtype=torch.float64), swirl


# ------------------------------------------------------------------------------------------------- likely mistakes


def by_scores(wrong):
    r"""A wrong attention from wrong(scores q . k, d): the weights."""
    return lambda q, k, v: wrong(q @ k.mT, q.shape[-1]) @ v


def by_heads(split, join):
    r"""A wrong multi_head from another way to split, and to join."""
    return lambda q, k, v, heads: join(scaled_dot_product(*(split(x, heads) for x in (q, k, v))))


def split_well(x, heads):
    return rearrange(x, "b n (h d) -> b h n d", h=heads)


def join_well(x):
    return rearrange(x, "b h m d -> b m (h d)")


def normed(x, dim=-1, correction=0):
    return (x - x.mean(dim, keepdim=True)) / (x.var(dim, correction=correction, keepdim=True) + 1e-5).sqrt()


check = Exercises(
    attention=Exercise(
        attention,
        attention_cases,
        mistakes={
            "the scores are not divided by sqrt(d)":
                by_scores(lambda scores, d: scores.softmax(-1)),
            "divide by sqrt(d), not by d":
                by_scores(lambda scores, d: (scores / d).softmax(-1)),
            "the softmax runs over the queries; each *query* distributes its attention over the keys, the last axis":
                by_scores(lambda scores, d: (scores / math.sqrt(d)).softmax(-2)),
            "divide the scores before the softmax; afterwards the rows no longer add up to 1":
                by_scores(lambda scores, d: scores.softmax(-1) / math.sqrt(d)),
            "the weights are missing their softmax: scores may be negative and add up to anything":
                by_scores(lambda scores, d: scores / math.sqrt(d)),
            "the weights pick from the values V, not from the keys":
                lambda q, k, v: scaled_dot_product(q, k, k),
        },
    ),
    multi_head=Exercise(
        multi_head,
        head_cases,
        mistakes={
            "b n (h d) cut into b h n d without a transpose mixes tokens: cut into b n h d, then swap n and h":
                by_heads(lambda x, h: x.reshape(len(x), h, x.shape[1], -1),
                         lambda x: x.reshape(len(x), x.shape[2], -1)),
            "the heads are cut well, but joined without swapping back: b h m d to b m h d first, then b m (h d)":
                by_heads(split_well, lambda x: x.reshape(len(x), x.shape[2], -1)),
            "joined well, but cut without a transpose: b n (h d) to b n h d first, then swap n and h":
                by_heads(lambda x, h: x.reshape(len(x), h, x.shape[1], -1), join_well),
            "the first head owns the first c / heads channels; here it has every heads-th channel":
                by_heads(lambda x, h: rearrange(x, "b n (d h) -> b h n d", h=h),
                         lambda x: rearrange(x, "b h m d -> b m (d h)")),
            "a head is c / heads wide; divide its scores by the root of that, not of c":
                lambda q, k, v, heads: multi_head(q / math.sqrt(heads), k, v, heads),
            "this is one head as wide as all; split the channels first":
                lambda q, k, v, heads: scaled_dot_product(q, k, v),
        },
    ),
    score_variance=Exercise(
        score_variance,
        variance_cases,
        mistakes={
            "this is the standard deviation; the variance is its square":
                lambda d, s: math.sqrt(d) * s**2,
            "each factor brings its own s^2: a product of two independent numbers has the variance s^2 s^2":
                lambda d, s: d * s**2,
            "this is right for s = 1 only":
                lambda d, s: d,
            "variances of independent summands add up, standard deviations do not: d times s^4, not (d s^2)^2":
                lambda d, s: d**2 * s**4,
            "this is the variance of q . k / sqrt(d); without the root of d it grows with d":
                lambda d, s: s**4,
        },
    ),
    pre_norm=Exercise(
        pre_norm,
        norm_cases,
        mistakes={
            "this is post-norm: LayerNorm stands on the residual path. It belongs in front of the layer":
                lambda x, f: normed(x + f(x)),
            "the residual path is normalised as well; x itself must pass unchanged":
                lambda x, f: normed(x) + f(normed(x)),
            "the residual is missing: x + layer(...)":
                lambda x, f: f(normed(x)),
            "normalise what goes *into* the layer, not what comes out":
                lambda x, f: x + normed(f(x)),
            "LayerNorm divides by c, not by c - 1: var(..., correction=0)":
                lambda x, f: x + f(normed(x, correction=1)),
            "each token is normalised over its own channels, the last axis, not over the tokens":
                lambda x, f: x + f(normed(x, dim=1)),
            "this divides by the variance; take the root":
                lambda x, f: x + f((x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5)),
            "eps stands under the root, beside the variance":
                lambda x, f: x + f((x - x.mean(-1, keepdim=True)) / (x.std(-1, correction=0, keepdim=True) + 1e-5)),
            "LayerNorm subtracts the mean as well":
                lambda x, f: x + f(x / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()),
            "the norm is missing":
                lambda x, f: x + f(x),
        },
    ),
)  # fmt: skip
