r"""Metropolis-Hastings: propose a move, then accept it or stay (article 3.2).

The samplers of this package are generators. They move all chains at once and yield a `State` after each transition,
without end:

    states = metropolis_hastings(target, x, step=0.5, generator=generator)
    collect(states, 1000)                   # burn-in, discarded
    draws = collect(states, 5000)           # draws.x: 5000 c *rest

`langevin.mala` and `hamiltonian.hmc` have the same accept rule, with better proposals.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from minidiffusion.diffusion.forward import standard_normal_like

from .target import Target, log_prob


class State(NamedTuple):
    r"""All chains after one transition; None for what a sampler does not have. From `collect`, with n in front."""

    x: Tensor
    r"""c *rest"""
    log_prob: Tensor | None = None
    r"""c: log p(x), up to the target's constant"""
    accepted: Tensor | None = None
    r"""c: whether this chain moved"""
    energy: Tensor | None = None
    r"""c: hmc's total energy"""
    divergent: Tensor | None = None
    r"""c: whether the energy error of hmc's trajectory was above `hamiltonian.DIVERGENT`"""
    step: Tensor | None = None
    r"""a number: the step size, if it is adapted or annealed"""


def collect(states: Iterator[State], n: int, *, progress: bool = False) -> State:
    r"""The next n states, stacked: x is `n c *rest`. Raises ValueError if n < 1, or if the sampler ends before."""
    check_positive(n=n)
    rows = [*tqdm(islice(states, n), total=n, desc="sampling", unit="draw", disable=not progress)]
    if len(rows) < n:
        raise ValueError(f"the sampler ended after {len(rows)} states, before {n}")
    return State._make(None if column[0] is None else torch.stack(column) for column in zip(*rows, strict=True))


# ------------------------------------------------------------------------------------------------- the accept rule


def accept_probability(
    log_p_to: Float[Tensor, "*c"],
    log_p_from: Float[Tensor, "*c"],
    log_q_back: Float[Tensor, "*c"] | float = 0.0,
    log_q_there: Float[Tensor, "*c"] | float = 0.0,
) -> Float[Tensor, "*c"]:
    r"""The probability of accepting a move (Hastings 1970):

        min(1, p(to) q(from | to) / (p(from) q(to | from)))

    log_q_back is log q(from | to), log_q_there log q(to | from); the two cancel if the proposal is symmetric. It
    fulfils detailed balance, p(from) P(from -> to) = p(to) P(to -> from), and so leaves p invariant. A move to where
    log p is not finite, or whose ratio is NaN, is never accepted.
    """
    log_ratio = log_p_to - log_p_from + log_q_back - log_q_there
    valid = log_p_to.isfinite() & ~log_ratio.isnan()
    return log_ratio.exp().clamp(max=1).where(valid, 0)


def accept(probability: Float[Tensor, "c"], generator: torch.Generator | None = None) -> Bool[Tensor, "c"]:
    r"""True with that probability, for each chain."""
    u = torch.rand(probability.shape, generator=generator, dtype=probability.dtype, device=probability.device)
    return u < probability


def choose(
    accepted: Bool[Tensor, "c"], to: Float[Tensor, "c *rest"], x: Float[Tensor, "c *rest"]
) -> Float[Tensor, "c *rest"]:
    r"""`to` in the chains that accepted, x in the others."""
    return torch.where(accepted.reshape(-1, *[1] * (x.ndim - 1)), to, x)


# ------------------------------------------------------------------------------------------------- the sampler


@runtime_checkable
class Proposal(Protocol):
    r"""A proposal distribution: a draw of a move from x, and its log density q(to | given), `c`, up to a constant."""

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor: ...
    def log_q(self, to: Tensor, given: Tensor) -> Tensor: ...


class RandomWalk(NamedTuple):
    r"""to = x + step z, z ~ N(0, I). Symmetric, q(to | x) = q(x | to), so log_q may be 0."""

    step: float

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x + self.step * standard_normal_like(x, generator)

    def log_q(self, to: Tensor, given: Tensor) -> Tensor:
        return to.new_zeros(len(to))


def metropolis_hastings(
    target: Target,
    x: Tensor,
    *,
    step: float | None = None,
    proposal: Proposal | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[State]:
    r"""Metropolis-Hastings from x, `c *rest`, with a random walk of that step or any other proposal.

    (Metropolis et al. 1953; Hastings 1970.) One call of log_prob a transition. Raises ValueError unless there is either
    a step > 0 or a proposal, and if a chain starts where log_prob is not finite.
    """
    if step is not None and proposal is None:
        check_positive(step=step)
        proposal = RandomWalk(step)
    elif step is not None or proposal is None:
        raise ValueError("metropolis_hastings needs a step or a proposal, and not both")
    x = chains(x)
    log_p = log_prob_at_start(target, x)
    while True:
        to = proposal.draw(x, generator)
        log_p_to = log_prob(target, to)
        back, there = proposal.log_q(x, given=to), proposal.log_q(to, given=x)
        accepted = accept(accept_probability(log_p_to, log_p, back, there), generator)
        x, log_p = choose(accepted, to, x), choose(accepted, log_p_to, log_p)
        yield State(x, log_p, accepted)


# ------------------------------------------------------------------------------------------------- checks


def chains(x: Tensor) -> Tensor:
    r"""x, detached from any graph. Raises ValueError unless it is `c *rest` of floating-point numbers."""
    if x.ndim < 1 or len(x) < 1 or not x.is_floating_point():
        raise ValueError(f"x must be (chains, ...) of floating-point numbers, got {tuple(x.shape)} of {x.dtype}")
    return x.detach()


def log_prob_at_start(target: Target, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c"]:
    r"""log p where the chains start. Raises ValueError unless it is finite in each."""
    log_p = log_prob(target, x)
    bad = (~log_p.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"log_prob must be finite where chains start, which it is not for the chains {bad}")
    return log_p


def check_positive(**numbers: int | float) -> None:
    r"""Raises ValueError, with the name, unless each number is greater than 0."""
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} must be greater than 0, got {value}")


def sum_of_state(x: Tensor) -> Float[Tensor, "c"]:
    r"""The sum over all dimensions but that of the chains."""
    return x.reshape(len(x), -1).sum(dim=1)
