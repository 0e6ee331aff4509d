r"""The contrastive objective: the cross-entropy of matching pictures and sentences (article 3.4.2, 4.3).

With logits[i, j] = sim(picture i, sentence j) / tau in a batch of b matching pairs,

    InfoNCE(I, T)   = -1/b sum_i log( exp(logits[i, i]) / sum_j exp(logits[i, j]) )        (article 4.3.1)
    L               = 1/2 ( InfoNCE(I, T) + InfoNCE(T, I) )                                (article 4.3.2)

Each term is the cross-entropy of a classification with b classes whose right answer is the diagonal.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .encoder import CLIP

MAX_LOGIT_SCALE = math.log(100)


def info_nce(logits: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    r"""-mean log softmax of the diagonal along each row: log b for equal logits, 0 for a perfect match."""
    return (logits.logsumexp(dim=1) - logits.diagonal()).mean()


def symmetric_cross_entropy(logits: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    r"""CLIP's loss: the cross-entropy over rows and over columns, averaged."""
    diagonal = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2


@torch.no_grad()
def clamp_temperature(model: CLIP) -> None:
    r"""Keep 1 / tau at most 100, after each optimiser step.

    Clamping the parameter, not its use in the forward pass, leaves it a gradient at the bound.
    """
    model.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)
