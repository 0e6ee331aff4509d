r"""Toy data: distributions in the plane, some of which have a known density.

`GaussianMixture` and `Rings` have `log_prob` and `score` (the gradient of log_prob), against which samplers and
likelihoods can be tested; the others are only points.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class GaussianMixture(NamedTuple):
    r"""p(x) = sum_k weights_k N(x; means_k, covariances_k), in any number d of dimensions."""

    weights: Float[Tensor, "k"]
    means: Float[Tensor, "k d"]
    covariances: Float[Tensor, "k d d"]

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        root = torch.linalg.cholesky(self.covariances)
        return self.means[which] + torch.einsum("nij,nj->ni", root[which], z)

    def log_prob(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        return torch.logsumexp(self._parts(x)[0], dim=1)

    def score(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        log_p, score = self._parts(x)
        return torch.einsum("nk,nkd->nd", log_p.softmax(dim=1), score)

    def log_share(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        r"""log p(k | x), the posterior of the component."""
        return self._parts(x)[0].log_softmax(dim=1)

    def noised(self, alpha: float | Tensor, sigma: float | Tensor) -> "GaussianMixture":
        r"""The distribution of alpha x + sigma eps: a mixture again, with a known score at every noise level."""
        eye = torch.eye(self.means.shape[1], dtype=self.means.dtype)
        return GaussianMixture(self.weights, alpha * self.means, alpha**2 * self.covariances + sigma**2 * eye)

    @property
    def mean(self) -> Float[Tensor, "d"]:
        return self.weights @ self.means

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        r"""Within the Gaussians plus between their means."""
        offset = self.means - self.mean
        return torch.einsum("k,kij->ij", self.weights, self.covariances + offset[:, :, None] * offset[:, None, :])

    def _parts(self, x: Tensor) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k d"]]:
        r"""For each Gaussian, the log density of x with its weight, and its score."""
        offset = x[:, None] - self.means
        score = -torch.einsum("kij,nkj->nki", torch.linalg.inv(self.covariances), offset)
        log_norm = self.weights.log() - 0.5 * torch.logdet(2 * math.pi * self.covariances)
        return log_norm + 0.5 * (score * offset).sum(-1), score


class Rings(NamedTuple):
    r"""Concentric circles of equal weight with a Gaussian profile: p(x) = mean_k N(|x|; r_k, width^2) / (2 pi |x|)."""

    radii: Float[Tensor, "k"] = torch.tensor([1.0, 2.0], dtype=torch.float64)
    width: float = 0.1

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n 2"]:
        which = torch.randint(len(self.radii), (n,), generator=generator)
        z = torch.randn(n, generator=generator, dtype=self.radii.dtype)
        angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=self.radii.dtype)
        radius = (self.radii[which] + self.width * z).abs()  # a negative radius is ten widths away
        return radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        r = x.norm(dim=1)
        profile = torch.distributions.Normal(self.radii, self.width).log_prob(r[:, None])
        return torch.logsumexp(profile, dim=1) - math.log(len(self.radii)) - (2 * math.pi * r).log()

    def score(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        r = x.norm(dim=1, keepdim=True)
        share = torch.softmax(-0.5 * ((r - self.radii) / self.width) ** 2, dim=1)
        along = (share * (self.radii - r)).sum(dim=1, keepdim=True) / self.width**2 - 1 / r
        return along * x / r


# ------------------------------------------------------------------------------------------------- ready-made mixtures


def two_gaussians() -> GaussianMixture:
    r"""Two Gaussians of different weight and shape: the simplest distribution on which a sampler can fail."""
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    means = torch.tensor([[-1.0, 0.4], [0.9, -0.2]], dtype=torch.float64)
    covariances = torch.tensor([[[0.12, 0.06], [0.06, 0.09]], [[0.06, -0.02], [-0.02, 0.10]]], dtype=torch.float64)
    return GaussianMixture(weights, means, covariances)


def circle_of_gaussians(k: int = 8, radius: float = 1.4, std: float = 0.12) -> GaussianMixture:
    r"""k equal Gaussians around a circle, to test whether a sampler finds all modes."""
    angle = 2 * math.pi * torch.arange(k, dtype=torch.float64) / k
    means = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return GaussianMixture(
        torch.full((k,), 1 / k, dtype=torch.float64), means, torch.eye(2).double().repeat(k, 1, 1) * std**2
    )


# ------------------------------------------------------------------------------------------------- points only


def moons(n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n 2"]:
    r"""Two interleaved half circles."""
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.rand(n, generator=generator) < 0.5
    x = torch.where(upper, angle.cos() - 0.5, 0.5 - angle.cos())
    y = torch.where(upper, angle.sin() - 0.25, 0.25 - angle.sin())
    return _normalised(torch.stack([x, y], dim=1) + 0.05 * torch.randn(n, 2, generator=generator))


def swiss_roll(n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n 2"]:
    r"""A spiral of one and a half turns."""
    angle = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))
    points = angle[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    return _normalised(points + 0.3 * torch.randn(n, 2, generator=generator))


def dinosaur(n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n 2"]:
    r"""Points along the outline of a dinosaur, evenly, with an eye."""
    corners = torch.tensor(OUTLINE)
    lengths = (corners[1:] - corners[:-1]).norm(dim=1)
    which = torch.multinomial(lengths, n, replacement=True, generator=generator)
    along = torch.rand(n, 1, generator=generator)
    points = corners[which] + along * (corners[which + 1] - corners[which])
    eye = torch.rand(n, generator=generator) < 0.03
    points[eye] = torch.tensor(EYE)
    return _normalised(points + 0.04 * torch.randn(n, 2, generator=generator))


# A sauropod, from the snout over the back to the tail and along the belly to the snout again; y points up.
OUTLINE = [
    (1.2, 6.6), (1.0, 7.3), (1.7, 7.9), (2.7, 7.9), (3.2, 7.2), (3.1, 6.0), (3.3, 4.9), (4.0, 4.4), (5.2, 4.7),
    (6.4, 4.7), (7.4, 4.1), (8.3, 3.0), (9.6, 2.3), (11.0, 2.3), (9.6, 1.7), (8.1, 1.9), (7.5, 2.1), (7.4, 0.3),
    (6.4, 0.3), (6.2, 1.7), (5.0, 1.6), (4.7, 0.3), (3.7, 0.3), (3.5, 2.0), (2.6, 3.3), (2.2, 5.0), (2.1, 6.3),
    (1.2, 6.6),
]  # fmt: skip
EYE = (2.0, 7.3)


def _normalised(points: Tensor) -> Tensor:
    r"""Shifted and scaled to mean 0, and to variance 1 over both axes together, as diffusion models assume."""
    points = points - points.mean(dim=0)
    return points / points.square().mean().sqrt()


POINTS: dict[str, Callable[..., Tensor]] = {"moons": moons, "swiss roll": swiss_roll, "dinosaur": dinosaur}
