r"""Applications of embeddings: zero-shot classification, retrieval, probes (Radford et al. 2021, section 3.1).

    zero-shot       the class whose sentence is nearest; a class is the mean of the unit vectors of several sentences
                    ("a photo of a cat", "a drawing of a cat", ...), made a unit vector again
    retrieval       the sentence nearest to a picture, and the picture nearest to a sentence
    linear probe    a logistic regression on the embeddings of labelled pictures
    neighbours      the most frequent label of the k nearest labelled pictures

Embeddings are unit vectors, so a scalar product is the cosine similarity.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from minidiffusion.errors import UserError

from .encoder import CLIP
from .tokenizer import Tokenizer

TEMPLATES = ("a photo of a {}.", "a picture of a {}.", "a drawing of a {}.")


@torch.inference_mode()
def class_embeddings(
    clip: CLIP, tokenizer: Tokenizer, names: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> Float[Tensor, "classes d"]:
    r"""One unit vector a class. Raises UserError without names, or for a template that has no {}."""
    if not names or not templates or any("{}" not in template for template in templates):
        raise UserError("Zero-shot classification needs names, and templates with {} in place of the name.")
    sentences = [template.replace("{}", name) for name in names for template in templates]
    embeddings = clip.encode_text(tokenizer(sentences, clip.config.context_length))
    return F.normalize(embeddings.unflatten(0, (len(names), len(templates))).mean(dim=1), dim=-1)


def recall(similarity: Float[Tensor, "n n"], k: int = 1) -> float:
    r"""R@k: the share of rows whose own column is among the k most similar; for the columns, pass the transpose.

    Columns of equal similarity rank before its own, or else equal embeddings would have a perfect recall.
    """
    own = similarity.diagonal()[:, None]
    before = (similarity >= own).sum(dim=1) - 1  # without its own
    return (before < k).double().mean().item()


def nearest_neighbours(
    embeddings: Float[Tensor, "n d"], labels: Int[Tensor, " n"], queries: Float[Tensor, "m d"], k: int = 5
) -> Int[Tensor, " m"]:
    r"""The most frequent label of the k nearest; of equally frequent ones, that with the nearer neighbours in sum."""
    cosines, nearest = (queries @ embeddings.T).topk(min(k, len(embeddings)))
    votes = torch.zeros(len(queries), int(labels.max()) + 1, dtype=torch.float64)
    # All k together add less than one vote, so that similarity decides between equally frequent labels only.
    votes.scatter_add_(1, labels[nearest], 1 + (cosines.double() + 1) / (4 * k))
    return votes.argmax(dim=1)


def linear_probe(
    embeddings: Float[Tensor, "n d"], labels: Int[Tensor, " n"], strength: float = 1 / 0.316, steps: int = 200
) -> nn.Linear:
    r"""Logistic regression: min over W, b of  sum_i CE(W x_i + b, y_i) + strength/2 |W|^2,  by L-BFGS.

    The problem is convex, so the start does not matter. The default strength is the paper's (1/C of scikit-learn).
    """
    probe = nn.Linear(embeddings.shape[1], int(labels.max()) + 1, dtype=torch.float64)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    x = embeddings.double()
    optimizer = torch.optim.LBFGS(
        probe.parameters(), max_iter=steps, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(probe(x), labels, reduction="sum") + strength / 2 * probe.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return probe.requires_grad_(False)
