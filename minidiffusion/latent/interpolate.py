r"""Paths between codes (article 2.2.3): a straight line, an arc, a geodesic; and directions of attributes.

Codes are drawn from N(0, I). In d dimensions nearly all such draws have a norm close to sqrt(d), and two of them are
close to perpendicular. A point at w on the straight line between them has only the norm

    |(1 - w) a + w b| = sqrt(w^2 + (1 - w)^2) sqrt(d),      0.71 sqrt(d) half-way

where the prior has hardly any mass, and the decoder was never trained. The arc keeps the norm. For codes of few
numbers, or latents that are small pictures, this argument is weaker; compare both.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Decode = Callable[[Tensor], Tensor]


def lerp(a: Float[Tensor, "b *shape"], b: Float[Tensor, "b *shape"], w: float | Tensor) -> Float[Tensor, "n *shape"]:
    r"""(1 - w) a + w b: from a (w = 0) straight to b (w = 1).

    w: a number, one for each sample, or, for a single a and b, n of them: a path.
    """
    w = _of_each(w, a)
    return (1 - w) * a + w * b


def slerp(a: Float[Tensor, "b *shape"], b: Float[Tensor, "b *shape"], w: float | Tensor) -> Float[Tensor, "n *shape"]:
    r"""The arc from a to b, each sample one vector in the plane of the two (Shoemake 1985):

        sin((1 - w) theta) / sin(theta) a + sin(w theta) / sin(theta) b,      theta the angle between a and b

    If a and b have one norm, so has every point; at an angle of 0 this is `lerp`. w as there. Raises ValueError for
    opposite vectors, between which the shortest arc is not unique, and for a zero vector.
    """
    w = _of_each(w, a)
    unit_a, unit_b = (v.flatten(1) / v.flatten(1).norm(dim=1, keepdim=True) for v in (a, b))
    # More digits than arccos of the inner product has, where the angle is small. In half turns, as sinc wants it.
    turn = _of_each(2 / torch.pi * torch.atan2((unit_a - unit_b).norm(dim=1), (unit_a + unit_b).norm(dim=1)), a)
    if not (turn < 1 - 1e-6).all():  # a zero vector gives nan, which is not smaller than anything
        raise ValueError("a and b must not be opposite or zero, for then no shortest arc is unique")
    # sin(w theta) / sin(theta) = w sinc(w theta) / sinc(theta), which at theta = 0 is simply w.
    share_a, share_b = (u * torch.sinc(u * turn) / torch.sinc(turn) for u in (1 - w, w))
    return share_a * a + share_b * b


def _of_each(value: float | Tensor, x: Tensor) -> Tensor:
    r"""One number, or one a sample, shaped `n 1 1 1` so that it multiplies samples of the shape of x."""
    return torch.as_tensor(value, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))


# ------------------------------------------------------------------------------------------------- geodesics


def length(decode: Decode, path: Float[Tensor, "n *shape"]) -> Float[Tensor, ""]:
    r"""The length, in pixel space, of a path through latent codes: sum_i |decode(z_{i+1}) - decode(z_i)|."""
    return decode(path).flatten(1).diff(dim=0).norm(dim=1).sum()


def geodesic(
    decode: Decode, a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"], points: int = 16, steps: int = 200
) -> Float[Tensor, "n *shape"]:
    r"""The path of codes from a to b that is shortest in pixels (Arvanitidis et al. 2018).

        energy = sum_i | decode(z_{i+1}) - decode(z_i) |^2,      length^2 <= (points - 1) energy

    with equality for equal pieces, so the least energy gives the shortest path, at constant speed. It starts from
    `lerp` and does at most `steps` iterations of L-BFGS on all inner points at once. The shortest path in pixels is a
    cross-fade, so a decoder that can produce one will; others must morph one picture into the other. Raises ValueError
    for fewer than three points.
    """
    if points < 3:
        raise ValueError(f"points must be at least 3, got {points}")
    a, b = a.detach()[None], b.detach()[None]
    inner = lerp(a, b, torch.linspace(0, 1, points)[1:-1]).requires_grad_()
    optimizer = torch.optim.LBFGS([inner], max_iter=steps, line_search_fn="strong_wolfe")

    def energy() -> float:
        value = decode(torch.cat([a, inner, b])).flatten(1).diff(dim=0).square().sum()
        (inner.grad,) = torch.autograd.grad(value, inner)  # and none for the decoder's weights
        return value.item()

    optimizer.step(energy)
    return torch.cat([a, inner.detach(), b])


# ------------------------------------------------------------------------------------------------- attributes


def attribute_direction(z: Float[Tensor, "b *shape"], has: Bool[Tensor, "b"]) -> Float[Tensor, "*shape"]:
    r"""From the mean code of those without an attribute to that of those with it: z + direction gives it to z.

    The weights of a linear classifier are another direction: they separate the two groups best, and so discount
    directions in which codes vary anyway. Raises ValueError unless some have the attribute and some do not.
    """
    if has.all() or not has.any():
        raise ValueError(f"some codes, but not all, must have the attribute, got {int(has.sum())} of {len(has)}")
    return z[has].mean(dim=0) - z[~has].mean(dim=0)


def manifold(columns: int, reach: float = 0.95) -> Float[Tensor, "columns columns 2"]:
    r"""A grid of two-dimensional codes with the density of N(0, I): rows and columns at its quantiles.

        z = Phi^{-1}(u),      u evenly from (1 - reach) / 2 to (1 + reach) / 2

    The first coordinate grows to the right, the second upwards: row 0 has the largest. reach: the share of the
    probability that the grid covers along each axis. Raises ValueError unless it is above 0 and below 1.
    """
    if not 0 < reach < 1:
        raise ValueError(f"reach must be above 0 and below 1, got {reach}")
    u = torch.linspace((1 - reach) / 2, (1 + reach) / 2, columns, dtype=torch.float64)
    z = torch.special.ndtri(u).float()
    y, x = torch.meshgrid(z.flip(0), z, indexing="ij")
    return torch.stack([x, y], dim=-1)
