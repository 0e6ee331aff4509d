r"""Vector quantisation: a picture as a few whole numbers (article 2.2; van den Oord et al. 2017).

Every vector z of a latent is replaced by the nearest of K learnt ones, e_1 ... e_K, the codebook:

    id = argmin_k |z - e_k|^2,      z_q = e_id                          (their eq. 1 and 2)
    loss = mean |sg[z] - e|^2 + beta mean |z - sg[e]|^2                 (the last two terms of their eq. 3)

sg stops the gradient: the first term moves the codes to the vectors (k-means, by gradient), the second holds the
encoder back from leaving its codes. beta stands at the encoder's term and does not slow the codes. The means are over
all numbers of z. What an encoder says in K codes at n places are n log2 K bits, and a transformer can write them.
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

    Raises ValueError for a latent that has not `dim` channels.
    """

    used: Int[Tensor, "codes"]

    def __init__(self, codes: int, dim: int, beta: float = 0.25):
        super().__init__()
        self.beta = beta
        self.embedding = nn.Embedding(codes, dim)
        self.register_buffer("used", torch.zeros(codes, dtype=torch.long))  # how often in training, since `revive`

    def forward(self, z: Float[Tensor, "b d *space"]) -> Quantized:
        r"""z_q has the codes' values, and passes its gradient on to z as if it were z (straight-through).

        argmin has no slope. But z_q is near z: what lowers the decoder's loss at z_q is taken to lower it at z.
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
        r"""Moves each code that no training batch used since the last call onto a vector of z, and says how many.

        Only the nearest code gets a gradient, so a code that starts far from every vector would stay there for ever.
        Call it before the first step, which starts the whole codebook among the data, then every hundred steps or so
        (often enough to matter, rarely enough for a rare code to be used once), and leave it out at the end of a
        training, so that the last ones settle. No two codes get the same place of z.
        """
        vectors = self._vectors(z)
        dead = (self.used == 0).nonzero().flatten()[: len(vectors)]
        chosen = torch.randperm(len(vectors), generator=generator)[: len(dead)]
        self.embedding.weight[dead] = vectors[chosen.to(z.device)]
        self.used.zero_()
        return len(dead)

    def _vectors(self, z: Tensor) -> Float[Tensor, "n d"]:
        if z.shape[1] != self.embedding.embedding_dim:
            raise ValueError(
                f"the latent has {z.shape[1]} channels, but the codes have {self.embedding.embedding_dim} numbers"
            )
        return z.movedim(1, -1).reshape(-1, z.shape[1])


def usage(ids: Int[Tensor, "*any"], codes: int) -> float:
    r"""The share of the codes that occur in ids."""
    return len(ids.unique()) / codes


def perplexity(ids: Int[Tensor, "*any"], codes: int) -> float:
    r"""exp(-sum_k p_k log p_k): among how many equally frequent codes would the choice be as open? In 1..codes."""
    p = ids.flatten().bincount(minlength=codes).double() / ids.numel()
    return torch.special.entr(p).sum().exp().item()
