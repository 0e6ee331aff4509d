r"""Metrics: confidence intervals, the Fréchet distance, the nearest training picture, diversity.

Each is a few lines of mathematics on tensors; none knows what made the pictures.
"""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor


def wilson_interval(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    r"""The confidence interval of a proportion (95 % for z = 1.96) when `right` of `n` trials succeeded.

    $$\frac{1}{1 + z^2/n}\Bigl(\hat p + \frac{z^2}{2n} \pm z\sqrt{\frac{\hat p(1-\hat p)}{n} + \frac{z^2}{4n^2}}\Bigr)$$

    (Wilson, JASA 22, 1927.) The textbook $\hat p \pm z\sqrt{\hat p(1-\hat p)/n}$ claims certainty at $\hat p = 1$ and
    leaves [0, 1] near it, which is where a good model is. No trials: (0, 1).
    """
    if not 0 <= right <= n:
        raise ValueError(f"right must be between 0 and n, got {right} of {n}")
    if n == 0:
        return 0.0, 1.0
    p = right / n
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    r"""The Fréchet distance of two sets of vectors, each taken for a Gaussian (Heusel et al., arXiv:1706.08500).

    $$\lVert \mu_x - \mu_y \rVert^2 + \mathrm{tr}\bigl(C_x + C_y - 2\,(C_x^{1/2} C_y C_x^{1/2})^{1/2}\bigr)$$

    (Dowson and Landau, J. Multivariate Analysis 12, 1982.) The last trace is the sum of the singular values of
    $C_x^{1/2} C_y^{1/2}$, so only square roots of symmetric matrices are needed, and flat directions (features that
    never fire) do no harm. Computed in float64. The estimate is too large for small sets: compare only with a distance
    measured on sets of the same sizes.
    """
    mean_x, root_x = _mean_and_root_covariance(x)
    mean_y, root_y = _mean_and_root_covariance(y)
    overlap = torch.linalg.svdvals(root_x @ root_y).sum()
    return ((mean_x - mean_y).square().sum() + root_x.square().sum() + root_y.square().sum() - 2 * overlap).item()


def _mean_and_root_covariance(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
    if len(x) < 2:
        raise ValueError(f"a covariance needs at least two vectors, got {len(x)}")
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(x.double().T).reshape(x.shape[1], x.shape[1]))
    return x.double().mean(0), vectors * eigenvalues.clamp(min=0).sqrt() @ vectors.T


def nearest_distance(x: Float[Tensor, "n *shape"], others: Iterable[Float[Tensor, "_ *shape"]]) -> Float[Tensor, "n"]:
    r"""Root-mean-square difference of each x to the nearest of all others, which arrive in chunks of any size.

    $$d(x) = \min_y \sqrt{\tfrac1D \textstyle\sum_i (x_i - y_i)^2}$$
    """
    x = x.flatten(1)
    nearest = torch.full((len(x),), torch.inf)
    for y in others:
        nearest = torch.minimum(nearest, torch.cdist(x, y.flatten(1)).amin(1))
    return nearest / math.sqrt(x.shape[1])


def diversity(x: Float[Tensor, "n *shape"], group: int) -> float:
    r"""The root-mean-square difference of two members of a group, averaged over all pairs and groups.

    The first `group` of x make up the first group, the next `group` the second, and so on.
    """
    if group < 2 or len(x) % group:
        raise ValueError(f"diversity needs whole groups of at least two members, got {len(x)} in groups of {group}")
    members = x.flatten(1).unflatten(0, (-1, group))
    first, second = torch.triu_indices(group, group, offset=1)
    return (members[:, first] - members[:, second]).square().mean(-1).sqrt().mean().item()
