r"""The best linear autoencoder: principal components of picture patches (article 2.2.2; Pearson 1901).

Cut pictures into patches p, and encode each by its coordinates along the k directions of greatest variance,

    z = S^-1 V^T (p - mean),      p_hat = mean + V S z,

with V the leading eigenvectors of the patches' covariance. No other linear code of k numbers has a smaller squared
error. S is diagonal and sets the scale of each coordinate. A convolution whose stride is its width does this for all
patches of a picture at once, so a deep autoencoder can start from it and learn the residual.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class PrincipalComponents(NamedTuple):
    r"""mean: `3pp`, directions V: `3pp k` (orthonormal columns, greatest variance first), std along each: `k`."""

    mean: Float[Tensor, "d"]
    directions: Float[Tensor, "d k"]
    std: Float[Tensor, "k"]


def principal_components(x: Float[Tensor, "b 3 h w"], patch: int, k: int) -> PrincipalComponents:
    r"""The k leading components of the patch x patch patches of pictures x."""
    patches = rearrange(x.double(), "b c (h i) (w j) -> (b h w) (c i j)", i=patch, j=patch)
    mean = patches.mean(dim=0)
    variance, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    order = variance.argsort(descending=True)[:k]
    return PrincipalComponents(mean.float(), directions[:, order].float(), variance[order].sqrt().float())


@torch.no_grad()
def start_from(components: PrincipalComponents, analysis: nn.Conv2d, synthesis: nn.ConvTranspose2d) -> None:
    r"""Set two patch-wise convolutions to encode and decode along the components.

    analysis: 3 -> k channels, synthesis: k -> 3, both with kernel and stride `patch`. S = sqrt(std), half-way between
    plain coordinates (S = 1, where brightness has nearly all the variance) and whitened ones (S = std, where the
    faintest detail has as much), so that a diffusion model decides broad areas first and details last.
    """
    mean, V, std = components
    kernel = synthesis.weight.shape[-1]
    scale = std.sqrt()
    # A transposed convolution has one bias a channel, not one a pixel, so the centre is the mean colour.
    colour = mean.reshape(3, -1).mean(dim=1)
    centre = colour.repeat_interleave(kernel**2)
    analysis.weight.copy_(rearrange(V / scale, "(c i j) k -> k c i j", i=kernel, j=kernel))
    analysis.bias.copy_(-(centre @ V) / scale)
    synthesis.weight.copy_(rearrange(V * scale, "(c i j) k -> k c i j", i=kernel, j=kernel))
    synthesis.bias.copy_(colour)
