r"""The exercises of lesson 10: bytes moved by GroupNorm with SiLU, merging variances, and the gradients of a group."""

import torch

from lessons.check import Exercise, Exercises


def moved(N, how):
    r"""Bytes read and written forwards, and backwards, when x has N.

    how: "eager" (two operators), or fused, with groups that are "large" or "small".
    """
    return {"eager": (5 * N, 8 * N), "large": (3 * N, 5 * N), "small": (2 * N, 3 * N)}[how]


def byte_cases():
    for how in ("eager", "large", "small"):
        yield 1000, how


def merge(a, b):
    r"""(n, mean, M) of two parts -> those of both together (Chan, Golub & LeVeque 1983, eq. 2.1)."""
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
    n, delta = n_a + n_b, mean_b - mean_a
    return n, mean_a + delta * n_b / n, m2_a + m2_b + delta**2 * n_a * n_b / n


def part_cases():
    yield (3, 1.0, 2.0), (5, 4.0, 1.5)
    yield (0, 0.0, 0.0), (4, 2.5, 3.0)  # where a loop begins
    means, m2s = torch.tensor([[1.0, -2.0], [3.0, 0.0]]), torch.tensor([[0.5, 3.0], [4.0, 1.0]])
    yield (2, means[0], m2s[0]), (6, means[1], m2s[1])
    yield (4, 2.0**30, 1.0), (4, 2.0**30, 2.0)  # the squares of such means leave no room for M


def group_gradients(dz, xhat, weight, rstd):
    r"""dx, dweight, dbias of one group: dz and xhat `c s`, weight `c`, rstd a number."""
    dbias, dweight = dz.sum(dim=1), (dz * xhat).sum(dim=1)
    c1 = (weight * dbias).sum() / dz.numel()
    c2 = (weight * dweight).sum() / dz.numel()
    return rstd * (weight[:, None] * dz - c1 - c2 * xhat), dweight, dbias


def gradient_cases():
    generator = torch.Generator().manual_seed(0)
    for c, s, rstd in ((2, 3, 0.5), (10, 7, 2.0), (1, 4, 1.3)):
        x, dz = torch.randn(2, c, s, generator=generator, dtype=torch.float64)
        weight = torch.randn(c, generator=generator, dtype=torch.float64)
        yield dz, (x - x.mean()) / x.std(correction=0), weight, rstd


def other_merge(mean=None, m2=None):
    r"""`merge` with another mean or another M: functions of n_a, mean_a, m2_a, n_b, mean_b, m2_b."""

    def merged(a, b):
        n, right_mean, right_m2 = merge(a, b)
        return n, mean(*a, *b) if mean else right_mean, m2(*a, *b) if m2 else right_m2

    return merged


def other_gradients(dx):
    r"""`group_gradients` with another dx: a function of g = weight dz, dz, xhat, rstd."""

    def gradients(dz, xhat, weight, rstd):
        return dx(weight[:, None] * dz, dz, xhat, rstd), *group_gradients(dz, xhat, weight, rstd)[1:]

    return gradients


def minus_means(g, xhat, h, dim=None):
    r"""g - c1 - c2 xhat, with c1 and c2 from h."""
    dims = dim if dim is not None else (0, 1)
    return g - h.mean(dims, keepdim=True) - (h * xhat).mean(dims, keepdim=True) * xhat


check = Exercises(
    moved=Exercise(
        moved,
        byte_cases,
        mistakes={
            "the mean must be known before the first number can be normalised: what does not fit is read twice":
                lambda N, how: {"eager": (4 * N, 6 * N), "large": (2 * N, 3 * N), "small": (2 * N, 3 * N)}[how],
            "eager writes z to memory and SiLU reads it again, and dz on the way back":
                lambda N, how: {"eager": (3 * N, 5 * N), "large": (3 * N, 5 * N), "small": (2 * N, 3 * N)}[how],
            "a small group stays in registers: nothing is read twice":
                lambda N, how: {"eager": (5 * N, 8 * N), "large": (3 * N, 5 * N), "small": (3 * N, 5 * N)}[how],
            "writing moves bytes as well as reading":
                lambda N, how: {"eager": (3 * N, 6 * N), "large": (2 * N, 4 * N), "small": (N, 2 * N)}[how],
            "on the way back there are two inputs, dy and x":
                lambda N, how: {"eager": (5 * N, 5 * N), "large": (3 * N, 3 * N), "small": (2 * N, 2 * N)}[how],
        },
    ),
    merge=Exercise(
        merge,
        part_cases,
        mistakes={
            "M_a and M_b are sums about two different means; what lies between the means is missing":
                other_merge(m2=lambda n_a, mean_a, m2_a, n_b, mean_b, m2_b: m2_a + m2_b),
            "a mean counts as often as it has numbers; this is the middle between two means":
                other_merge(mean=lambda n_a, mean_a, m2_a, n_b, mean_b, m2_b: (mean_a + mean_b) / 2),
            "delta² counts n_a n_b / n times: the division by n is missing":
                other_merge(m2=lambda n_a, mean_a, m2_a, n_b, mean_b, m2_b:
                            m2_a + m2_b + (mean_b - mean_a) ** 2 * n_a * n_b),
            "M is a sum of squares; it becomes a variance only at the very end":
                lambda a, b: (merge(a, b)[0], merge(a, b)[1], merge(a, b)[2] / merge(a, b)[0]),
            "right on paper, but the squares of large means are subtracted, and M drowns in their rounding":
                other_merge(m2=lambda n_a, mean_a, m2_a, n_b, mean_b, m2_b:
                            m2_a + n_a * mean_a**2 + m2_b + n_b * mean_b**2
                            - (n_a * mean_a + n_b * mean_b) ** 2 / (n_a + n_b)),
        },
    ),
    group_gradients=Exercise(
        group_gradients,
        gradient_cases,
        mistakes={
            "this is dx as if mean and variance were constants; both depend on every x of the group":
                other_gradients(lambda g, dz, xhat, rstd: rstd * g),
            "c1 and c2 are means over the whole group, not over each channel":
                other_gradients(lambda g, dz, xhat, rstd: rstd * minus_means(g, xhat, g, dim=1)),
            "c1 and c2 are means of weight dz, not of dz":
                other_gradients(lambda g, dz, xhat, rstd: rstd * minus_means(g, xhat, dz)),
            "c1 and c2 are means: divide by the number of elements of the group":
                other_gradients(lambda g, dz, xhat, rstd: rstd * (g - g.sum() - (g * xhat).sum() * xhat)),
            "rstd is missing: a group that was divided by its spread passes its gradient on divided by it":
                other_gradients(lambda g, dz, xhat, rstd: minus_means(g, xhat, g)),
            "the variance is forgotten: c2 xhat is missing":
                other_gradients(lambda g, dz, xhat, rstd: rstd * (g - g.mean())),
            "dweight and dbias are swapped: the order is dx, dweight, dbias":
                lambda *case: tuple(group_gradients(*case)[i] for i in (0, 2, 1)),
        },
    ),
)  # fmt: skip
