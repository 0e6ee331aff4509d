r"""Autoregressive sampling: from logits to a token, 64 times a picture (article 6.1).

    logits = u + s (c - u)              super-conditioning: guidance for a transformer   (Dayma et al. 2021)
    p_k = softmax(logits / temperature)                                                  k = 0 .. K-1
    then, of the K tokens, only some:   the k most probable                              (top-k; Fan et al. 2018)
                                        the fewest that together have probability >= p   (top-p; Holtzman et al. 2020)

c are the logits for the prompt, u those for the empty one, which training learns by dropping captions. s = 1 is the
conditional prediction alone, s = 0 ignores the prompt. A sampled token is final, and the many improbable tokens have
together a considerable probability: so the tail is cut.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .seq2seq import Seq2Seq


class Token(NamedTuple):
    r"""After position i: all ids so far, and the probability of the one just sampled."""

    i: int
    ids: Int[Tensor, "b n"]
    probability: Float[Tensor, "b"]


def sample_tokens(
    model: Seq2Seq,
    prompt: Int[Tensor, "b m"],
    empty: Int[Tensor, "b m"],
    generators: Sequence[torch.Generator],
    *,
    scale: float = 1.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    given: Int[Tensor, "b g"] | None = None,
) -> Iterator[Token]:
    r"""Generate b pictures, one token of each at a time; `*_, last = sample_tokens(...)` has all ids.

    prompt, empty: ids of the prompts, and of empty ones. generators: one a picture, on the CPU, so that a picture does
    not depend on the others in the batch. given: the first g tokens, if known. Builds no graph. Raises ValueError for
    settings outside their range.
    """
    b, places = len(prompt), model.config.places
    given = prompt.new_empty(b, 0) if given is None else given
    if len(generators) != b:
        raise ValueError(f"{b} pictures need {b} generators, got {len(generators)}")
    if given.shape[1] >= places:
        raise ValueError(f"the given tokens must be fewer than the {places} of a picture, got {given.shape[1]}")

    guided = scale != 1
    start, step = torch.no_grad()(model.start), torch.no_grad()(model.step)
    cache = start(torch.cat([prompt, empty]) if guided else prompt)
    ids = given
    new = torch.cat([given.new_full((b, 1), model.bos), given], dim=1)
    for i in range(given.shape[1], places):
        logits, cache = step(new.repeat(2, 1) if guided else new, cache)
        logits = logits[:, -1]
        if guided:
            logits = super_condition(*logits.chunk(2), scale)
        p = probabilities(logits, temperature, top_k, top_p)
        new = draw_token(p, generators)[:, None]
        ids = torch.cat([ids, new], dim=1)
        yield Token(i, ids, p.gather(1, new)[:, 0])


def super_condition(c: Float[Tensor, "b K"], u: Float[Tensor, "b K"], scale: float) -> Float[Tensor, "b K"]:
    r"""u + s (c - u): in probabilities, p_u (p_c / p_u)^s up to a factor."""
    return u + scale * (c - u)


def probabilities(
    logits: Float[Tensor, "b K"], temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Float[Tensor, "b K"]:
    r"""softmax(logits / temperature), cut to the k most probable, then to the fewest that have top_p of the rest.

    temperature: above 0; near 0 only the most probable token remains. top_k: 1..K, None for all; 1 is greedy. top_p:
    above 0, up to 1, which is all. At least one token remains. Raises ValueError for anything else.
    """
    K = logits.shape[1]
    if not temperature > 0:
        raise ValueError(f"temperature must be greater than 0, got {temperature}")
    if top_k is not None and not 1 <= top_k <= K:
        raise ValueError(f"top_k must be between 1 and {K}, or None for all, got {top_k}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
    p, order = (logits.double() / temperature).softmax(dim=1).sort(dim=1, descending=True, stable=True)
    p[:, top_k or K :] = 0
    p = p / p.sum(dim=1, keepdim=True)
    if top_p < 1:
        before = p.cumsum(dim=1) - p
        p = p.masked_fill(before >= top_p, 0)  # the token that reaches top_p is the last to remain
    p = p / p.sum(dim=1, keepdim=True)
    return torch.zeros_like(p).scatter(1, order, p).float()


def draw_token(p: Float[Tensor, "b K"], generators: Sequence[torch.Generator]) -> Int[Tensor, "b"]:
    r"""One token for each row of p, by inverting the cumulative distribution, from the row's own generator.

    A token of probability 0 is never drawn.
    """
    uniform = torch.stack([torch.rand(1, generator=generator) for generator in generators]).to(p.device).double()
    reached = p.double().cumsum(dim=1)
    return torch.searchsorted(reached, uniform * reached[:, -1:], right=True)[:, 0]
