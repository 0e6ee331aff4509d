r"""The exercises of lesson 17: count parameters, compare two sets of tensors, find the first module that is wrong."""

import math

import torch
from torch import nn

from lessons.check import Exercise, Exercises
from minidiffusion.networks.unet import SpatialTransformer, UNetConfig


def transformer_parameters(c, d, mult):
    r"""Counted in the library's own transformer, which is built without numbers."""
    config = UNetConfig(channels=(c,), attention=(True,), heads=1, context_dim=d, ff_mult=mult, groups=1)
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in SpatialTransformer(c, config).parameters())


def count_cases():
    yield 8, 4, 4
    yield 6, 10, 2
    yield 320, 768, 4


def complaints(ours, stored):
    r"""Names that are missing, names that are unknown, and names of other shapes, each in alphabetical order."""
    missing = sorted(ours.keys() - stored.keys())
    unknown = sorted(stored.keys() - ours.keys())
    misshapen = sorted(name for name in ours.keys() & stored.keys() if ours[name] != stored[name])
    return missing, unknown, misshapen


def complaint_cases():
    ours = {"conv.weight": (8, 4, 3, 3), "conv.bias": (8,), "to_q.weight": (8, 8), "norm.weight": (8,)}
    yield ours, dict(ours)
    yield ours, {"conv.weight": (8, 4, 3, 3), "to_q.weight": (8, 8, 1, 1), "norm.gamma": (8,), "bias": (8,)}
    yield ours, {"norm.weight": (1, 8), "conv.weight": (4, 8, 3, 3), "conv.bias": (8,), "to_q.weight": (8, 8)}


def first_wrong(ours, theirs, *inputs):
    r"""The first module to finish with another output, and whether it had been given the same."""
    mine, others = record(ours, inputs), record(theirs, inputs)
    for name in mine:
        same = [near(a, b) for a, b in zip(mine[name], others[name], strict=True)]
        if not same[-1]:
            return name, all(same[:-1])
    return "", True


def record(network, inputs):
    r"""What each module was given and what it made of it, in the order in which they finished."""
    seen = {}

    def note(name):
        return lambda _, given, result: seen.update({name: (*given, result)})

    hooks = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def near(a, b):
    r"""Of one shape, and equal up to a millionth of their size."""
    return a.shape == b.shape and bool((a - b).norm() <= 1e-6 * b.norm())


class Small(nn.Module):
    r"""A network with one detail of its choice. Its modules are named in another order than they run in."""

    def __init__(self, *, act=None, scale=1.0, eps=1e-5, bias=0.0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__()
            self.last = nn.Linear(12, 4)
            norm = nn.LayerNorm(12, eps=eps)
            nn.init.normal_(norm.weight)
            self.block = nn.Sequential(nn.Linear(6, 12), norm, act or nn.GELU())
            self.scale = scale
            with torch.no_grad():
                self.last.bias.add_(bias)

    def forward(self, x):
        return self.last(self.scale * self.block(x))


TRUE = Small()
WRONG = Small(act=nn.GELU("tanh")), Small(scale=1.1), Small(eps=1e-3), Small(bias=0.1), Small()


def wrong_cases():
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    for network in WRONG:
        yield network, TRUE, x


# ------------------------------------------------------------------------------------------------- likely mistakes


def counted(c, d, mult, *, context=None, gates=2, bias=0, norms=4, around=2):
    r"""The parts one by one, each of which can be forgotten."""
    context = d if context is None else context
    attention = (3 * c * c + 3 * bias * c + c * c + c) + (2 * c * c + 2 * context * c + 3 * bias * c + c)
    feed_forward = gates * mult * (c * c + c) + mult * c * c + c
    return attention + feed_forward + norms * 2 * c + around * (c * c + c)


def by_zip(ours, stored):
    r"""Shapes compared position by position."""
    pairs = zip(ours.items(), stored.items(), strict=False)
    missing, unknown, _ = complaints(ours, stored)
    return missing, unknown, sorted(name for (name, shape), (_, other) in pairs if shape != other)


def searched(ours, theirs, inputs, order=None, same=near, told=True):
    r"""The search with another order of the modules, another idea of equal, or without looking at what went in."""
    mine, others = record(ours, inputs), record(theirs, inputs)
    for name in order or mine:
        pairs = [same(a, b) for a, b in zip(mine[name], others[name], strict=True)]
        if not pairs[-1]:
            return name, all(pairs[:-1]) or not told
    return "", True


def named_order(ours, theirs, *inputs):
    return searched(ours, theirs, inputs, order=[name for name, _ in ours.named_modules() if name])


def coarse(a, b):
    return bool((a - b).norm() <= 1e-3 * b.norm())


def exchanged(ours, stored):
    missing, unknown, misshapen = complaints(ours, stored)
    return unknown, missing, misshapen


def by_number(ours, stored):
    missing, unknown, misshapen = complaints(ours, stored)
    return missing, unknown, [name for name in misshapen if math.prod(ours[name]) != math.prod(stored[name])]


check = Exercises(
    transformer_parameters=Exercise(
        transformer_parameters,
        count_cases,
        mistakes={
            "keys and values of cross-attention are made of the prompt's tokens: `c d` each, not `c c`":
                lambda c, d, mult: counted(c, d, mult, context=c),
            "the first layer of the feed-forward makes values and gates, 2 mult c of them":
                lambda c, d, mult: counted(c, d, mult, gates=1),
            "queries, keys and values have no bias":
                lambda c, d, mult: counted(c, d, mult, bias=1),
            "there are four norms: one before proj_in, and three in the block":
                lambda c, d, mult: counted(c, d, mult, norms=3),
            "proj_in and proj_out are missing":
                lambda c, d, mult: counted(c, d, mult, around=0),
        },
    ),
    complaints=Exercise(
        complaints,
        complaint_cases,
        mistakes={
            "missing is what ours has and the file lacks; here missing and unknown are exchanged":
                exchanged,
            "compare the shapes of the same name, not those at the same position":
                by_zip,
            "a matrix of 8 x 8 and a convolution of 8 x 8 x 1 x 1 hold equally many numbers, but are not of one shape":
                by_number,
        },
    ),
    first_wrong=Exercise(
        first_wrong,
        wrong_cases,
        mistakes={
            "modules finish in another order than they are named in: look in the order in which the hooks run":
                named_order,
            "compare what went in as well: if that differs already, this module is not to blame":
                lambda ours, theirs, *x: searched(ours, theirs, x, told=False),
            "one part in a thousand is too coarse: an activation or an epsilon changes less":
                lambda ours, theirs, *x: searched(ours, theirs, x, same=coarse),
        },
    ),
)  # fmt: skip
