r"""Vector quantisation: a picture as a few integers (article 2.2; van den Oord et al. 2017).

Every vector z of a latent is replaced by the nearest of K learnt ones, e_1 ... e_K, the codebook:

    id = argmin_k |z - e_k|^2,      z_q = e_id                          (their eq. 1 and 2)
    loss = mean |sg[z] - e|^2 + beta mean |z - sg[e]|^2                 (the last two terms of their eq. 3)

sg stops the gradient: the first term moves the codes to the vectors (k-means, by gradient), the second, the commitment
loss, keeps the encoder close to its codes. The means are over all numbers of z. A latent of n positions with K codes
has n log2 K bits, and a transformer can generate it token by token.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class Quantized(NamedTuple):
    r"""z_q: the nearest codes, `b d *space`; ids: which ones, `b *space`, in 0..K-1; loss: a number, to be added."""

    z_q: Float[Tensor, "b d *space"]
    ids: Int[Tensor, "b *space"]
    loss: Float[Tensor, ""]


class VectorQuantizer(nn.Module):
    r"""A codebook of `codes` vectors with `dim` numbers each, in `embedding.weight`.

    Raises ValueError for a latent with another number of channels.
    """

    used: Int[Tensor, "codes"]

    def __init__(self, codes: int, dim: int, beta: float = 0.25):
        super().__init__()
        self.beta = beta
        self.embedding = nn.Embedding(codes, dim)
        self.register_buffer("used", torch.zeros(codes, dtype=torch.long))  # how often in training, since `revive`

    def forward(self, z: Float[Tensor, "b d *space"]) -> Quantized:
        r"""z_q has the codes' values, and passes its gradient on to z as if it were z (straight-through estimator).

        argmin has no gradient; that of the decoder's loss at z_q approximates that at z, since the two are close.
        """
        ids = self.nearest(z)
        if self.training:
            self.used += ids.flatten().bincount(minlength=len(self.used))
        e = self.lookup(ids)
        loss = F.mse_loss(e, z.detach()) + self.beta * F.mse_loss(z, e.detach())
        # z + (e - z).detach() in another order, in which nothing is rounded: the decoder sees what `lookup` gives.
        return Quantized(e.detach() + (z - z.detach()), ids, loss)

    @torch.no_grad()
    def nearest(self, z: Float[Tensor, "b d *space"]) -> Int[Tensor, "b *space"]:
        r"""argmin_k |z - e_k|^2 = argmin_k |e_k|^2 - 2 z.e_k: one matrix product, for |z|^2 is the same for all k."""
        e = self.embedding.weight
        vectors = self._vectors(z)
        return torch.addmm(e.square().sum(dim=1), vectors, e.T, alpha=-2).argmin(dim=1).view(len(z), *z.shape[2:])

    def lookup(self, ids: Int[Tensor, "b *space"]) -> Float[Tensor, "b d *space"]:
        r"""The codes with these ids, channels second."""
        return self.embedding(ids).movedim(-1, 1)

    @torch.no_grad()
    def revive(self, z: Float[Tensor, "b d *space"], generator: torch.Generator | None = None) -> int:
        r"""Moves each code that no training batch used since the last call onto a vector of z; returns how many.

        Only the nearest code gets a gradient, so a code far from every vector would never be used. Call it before the
        first step, which puts the whole codebook among the data, then every hundred steps or so, so that a rare code
        has been used once, and not near the end of a training, so that the last ones moved can converge. No two codes
        move to the same vector.
        """
        vectors = self._vectors(z)
        dead = (self.used == 0).nonzero().flatten()[: len(vectors)]
        chosen = torch.randperm(len(vectors), generator=generator)[: len(dead)]
        self.embedding.weight[dead] = vectors[chosen.to(z.device)]
        self.used.zero_()
        return len(dead)

    def _vectors(self, z: Tensor) -> Float[Tensor, "n d"]:
        if z.shape[1] != self.embedding.embedding_dim:
            raise ValueError(f"the latent must have {self.embedding.embedding_dim} channels, got {z.shape[1]}")
        return z.movedim(1, -1).reshape(-1, z.shape[1])


def usage(ids: Int[Tensor, "*any"], codes: int) -> float:
    r"""The share of the codes that occur in ids."""
    return len(ids.unique()) / codes


def perplexity(ids: Int[Tensor, "*any"], codes: int) -> float:
    r"""exp(-sum_k p_k log p_k), in 1..codes: as many equally frequent codes would have this entropy."""
    p = ids.flatten().bincount(minlength=codes).double() / ids.numel()
    return torch.special.entr(p).sum().exp().item()
