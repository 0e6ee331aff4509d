r"""Ways between codes (article 2.2.3): a straight line, an arc, the shortest film; and directions that mean something.

Codes are drawn from N(0, I). In d dimensions nearly all such draws have a norm close to sqrt(d), and two of them are
close to perpendicular. A point at w on the straight line between them has only

    |(1 - w) a + w b| = sqrt(w^2 + (1 - w)^2) sqrt(d),      0.71 sqrt(d) half-way

of it: a place where the prior has hardly a draw, and the decoder was never trained. The arc keeps the norm. Where codes
are few numbers, or a latent is a small picture, this argument weighs less; look at both.
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
    opposite vectors, between which all arcs are equally short, and for a zero vector.
    """
    w = _of_each(w, a)
    unit_a, unit_b = (v.flatten(1) / v.flatten(1).norm(dim=1, keepdim=True) for v in (a, b))
    # More digits than arccos of the inner product has, where the angle is small. In half turns, as sinc wants it.
    turn = _of_each(2 / torch.pi * torch.atan2((unit_a - unit_b).norm(dim=1), (unit_a + unit_b).norm(dim=1)), a)
    if not (turn < 1 - 1e-6).all():  # a zero vector gives nan, which is not smaller than anything
        raise ValueError("a and b are opposite, or one is zero; valid are vectors with one shortest arc between them")
    # sin(w theta) / sin(theta) = w sinc(w theta) / sinc(theta), which at theta = 0 is simply w.
    share_a, share_b = (u * torch.sinc(u * turn) / torch.sinc(turn) for u in (1 - w, w))
    return share_a * a + share_b * b


def _of_each(value: float | Tensor, x: Tensor) -> Tensor:
    r"""One number, or one a sample, shaped `n 1 1 1` so that it multiplies samples of the shape of x."""
    return torch.as_tensor(value, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))


# ------------------------------------------------------------------------------------------------- the shortest film


def length(decode: Decode, path: Float[Tensor, "n *shape"]) -> Float[Tensor, ""]:
    r"""How much the decoded pictures change along a path of codes: sum_i |decode(z_{i+1}) - decode(z_i)|."""
    return decode(path).flatten(1).diff(dim=0).norm(dim=1).sum()


def geodesic(
    decode: Decode, a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"], points: int = 16, steps: int = 200
) -> Float[Tensor, "n *shape"]:
    r"""The path of codes from a to b whose pictures change least: shortest in pixels (Arvanitidis et al. 2018).

        energy = sum_i | decode(z_{i+1}) - decode(z_i) |^2,      length^2 <= (points - 1) energy

    with equality for equal pieces, so the least energy gives the shortest path, at constant speed. It starts from
    `lerp` and does at most `steps` iterations of L-BFGS on all inner points at once. No film is shorter than a
    cross-fade: a decoder that can fade will, and only one that cannot has to turn one picture into the other. Raises
    ValueError for fewer than three points.
    """
    if points < 3:
        raise ValueError(f"points is {points}; valid is at least 3, two ends and something between")
    a, b = a.detach()[None], b.detach()[None]
    inner = lerp(a, b, torch.linspace(0, 1, points)[1:-1]).requires_grad_()
    optimizer = torch.optim.LBFGS([inner], max_iter=steps, line_search_fn="strong_wolfe")

    def energy() -> float:
        value = decode(torch.cat([a, inner, b])).flatten(1).diff(dim=0).square().sum()
        (inner.grad,) = torch.autograd.grad(value, inner)  # and none for the decoder's weights
        return value.item()

    optimizer.step(energy)
    return torch.cat([a, inner.detach(), b])


# ------------------------------------------------------------------------------------------------- meaning


def attribute_direction(z: Float[Tensor, "b *shape"], has: Bool[Tensor, "b"]) -> Float[Tensor, "*shape"]:
    r"""From the mean code of those without an attribute to that of those with it: z + direction gives it to z.

    The weights of a linear classifier would be the alternative. They tell the two best apart, which is another thing:
    they discount directions in which codes vary anyway. Raises ValueError unless some have it and some have not.
    """
    if has.all() or not has.any():
        raise ValueError(f"{int(has.sum())} of {len(has)} codes have the attribute; valid are some, but not all")
    return z[has].mean(dim=0) - z[~has].mean(dim=0)


def manifold(columns: int, reach: float = 0.95) -> Float[Tensor, "columns columns 2"]:
    r"""A grid of two-dimensional codes that is as dense as N(0, I): rows and columns at its quantiles.

        z = Phi^{-1}(u),      u evenly from (1 - reach) / 2 to (1 + reach) / 2

    As on a map, the first coordinate grows to the right, the second upwards: row 0 has the largest. Raises ValueError
    unless reach, the share of the probability along each axis, is between 0 and 1.
    """
    if not 0 < reach < 1:
        raise ValueError(f"reach is {reach}; valid is between 0 and 1")
    u = torch.linspace((1 - reach) / 2, (1 + reach) / 2, columns, dtype=torch.float64)
    z = torch.special.ndtri(u).float()
    y, x = torch.meshgrid(z.flip(0), z, indexing="ij")
    return torch.stack([x, y], dim=-1)
