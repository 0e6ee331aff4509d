r"""Metropolis-Hastings: propose a move, then accept it or stay (article 3.2).

A sampler of this room is a generator. It moves all chains at once and yields a `State` after each transition, without
end; whoever iterates decides when it is enough:

    states = metropolis(target, x, step=0.5, generator=generator)
    collect(states, 1000)                   # the way from x to where the density is: thrown away
    draws = collect(states, 5000)           # draws.x: 5000 c *rest

The accept rule is that of `langevin.mala` and `hamiltonian.hmc` too; they only propose better moves.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from minidiffusion.diffusion.forward import standard_normal_like

from minidiffusion.mcmc.target import Target, log_prob


class State(NamedTuple):
    r"""All chains after one transition. What a sampler does not know is None. From `collect`, with n in front."""

    x: Tensor
    r"""c *rest"""
    log_prob: Tensor | None = None
    r"""c: log p(x), up to the target's constant"""
    accepted: Tensor | None = None
    r"""c: has this chain moved?"""
    energy: Tensor | None = None
    r"""c: hmc's total energy"""
    divergent: Tensor | None = None
    r"""c: has hmc's trajectory left the level of its energy?"""
    step: Tensor | None = None
    r"""a number: the step size, where it changes"""


def collect(states: Iterator[State], n: int, *, progress: bool = False) -> State:
    r"""The next n states, stacked: x is `n c *rest`. Raises ValueError if n < 1, or if the sampler ends before."""
    check_positive(n=n)
    rows = [*tqdm(islice(states, n), total=n, desc="sampling", unit="draw", disable=not progress)]
    if len(rows) < n:
        raise ValueError(f"{n} states asked for, but the sampler ended after {len(rows)}")
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

    log_q_back is log q(from | to), log_q_there log q(to | from); the two cancel if the proposal is symmetric. It makes
    as much traffic from any one state to another as back, and so leaves p alone. A move to where log p is not a finite
    number, or with a ratio that is none, is never accepted.
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


# ------------------------------------------------------------------------------------------------- the walk


@runtime_checkable
class Proposal(Protocol):
    r"""How to draw a move from x, and the log density q(to | given) of one, `c`, up to a constant."""

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor: ...
    def log_q(self, to: Tensor, given: Tensor) -> Tensor: ...


class RandomWalk(NamedTuple):
    r"""to = x + step z, z ~ N(0, I). Symmetric, q(to | x) = q(x | to): what cancels need not be known."""

    step: float

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x + self.step * standard_normal_like(x, generator)

    def log_q(self, to: Tensor, given: Tensor) -> Tensor:
        return to.new_zeros(len(to))


class Multiplicative(NamedTuple):
    r"""to = x e^{step z}, z ~ N(0, I), for what is positive, such as a scale; every number keeps its sign.

        log q(to | x) = -(log to - log x)^2 / (2 step^2) - log to

    Not symmetric: the last term is 1 / to, what a step is stretched by on its way out of the logarithm.
    """

    step: float

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x * (self.step * standard_normal_like(x, generator)).exp()

    def log_q(self, to: Tensor, given: Tensor) -> Tensor:
        log_to, log_given = to.abs().log(), given.abs().log()
        return sum_of_state(-0.5 * ((log_to - log_given) / self.step) ** 2 - log_to)


class Independent(NamedTuple):
    r"""to ~ N(mean, std^2), wherever x is. Good if its tails are wider than the target's, and hopeless otherwise."""

    mean: Tensor | float
    std: Tensor | float

    def draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.mean + self.std * standard_normal_like(x, generator)

    def log_q(self, to: Tensor, given: Tensor) -> Tensor:
        return sum_of_state(-0.5 * ((to - self.mean) / self.std) ** 2)


def metropolis(
    target: Target,
    x: Tensor,
    *,
    step: float | None = None,
    proposal: Proposal | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[State]:
    r"""Metropolis-Hastings from x, `c *rest`: a random walk of that step, or any proposal.

    (Metropolis et al. 1953; Hastings 1970.) One call of log_prob a transition. Raises ValueError unless there is either
    a step > 0 or a proposal, and if a chain starts where log_prob is not finite.
    """
    if step is not None and proposal is None:
        check_positive(step=step)
        proposal = RandomWalk(step)
    elif step is not None or proposal is None:
        raise ValueError("metropolis needs a step or a proposal, and not both")
    x = chains(x)
    log_p = log_prob_at_start(target, x)
    while True:
        to = proposal.draw(x, generator)
        log_p_to = log_prob(target, to)
        back, there = proposal.log_q(x, given=to), proposal.log_q(to, given=x)
        accepted = accept(accept_probability(log_p_to, log_p, back, there), generator)
        x, log_p = choose(accepted, to, x), choose(accepted, log_p_to, log_p)
        yield State(x, log_p, accepted)


# ------------------------------------------------------------------------------------------------- what is valid


def chains(x: Tensor) -> Tensor:
    r"""x, without a history of gradients. Raises ValueError unless it is `c *rest` of floats."""
    if x.ndim < 1 or len(x) < 1 or not x.is_floating_point():
        raise ValueError(f"x is {tuple(x.shape)} of {x.dtype}; valid is (chains, ...) of floating-point numbers")
    return x.detach()


def log_prob_at_start(target: Target, x: Float[Tensor, "c *rest"]) -> Float[Tensor, "c"]:
    r"""log p where the chains start. Raises ValueError unless it is finite in each."""
    log_p = log_prob(target, x)
    bad = (~log_p.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"log_prob is not finite where chains {bad} start; a chain must start where p(x) > 0")
    return log_p


def check_positive(**numbers: int | float) -> None:
    r"""Raises ValueError, with the name, unless each number is greater than 0."""
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be greater than 0")


def sum_of_state(x: Tensor) -> Float[Tensor, "c"]:
    r"""Over everything but the chains."""
    return x.reshape(len(x), -1).sum(dim=1)
