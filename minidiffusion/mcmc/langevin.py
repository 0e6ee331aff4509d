r"""Langevin dynamics: gradient ascent on log p, with noise (article 3.2).

    x <- x + step score(x) + sqrt(2 step) noise

In the limit of small steps this is a diffusion process whose stationary density is p (Roberts & Tweedie 1996). Any
finite step biases the samples, which the accept rule corrects; and it rarely moves from one mode to another, for which
`annealed` adds noise to the data: the idea behind diffusion models.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from minidiffusion.diffusion.forward import standard_normal_like

from .hamiltonian import DualAveraging
from .metropolis import (
    State,
    accept,
    accept_probability,
    chains,
    check_positive,
    choose,
    log_prob_at_start,
    sum_of_state,
)
from .target import Scored, Target, log_prob, score


def move(x: Tensor, slope: Tensor, step: float, generator: Generator | None = None) -> Tensor:
    r"""One Langevin step from x; slope: the score at x."""
    return x + step * slope + math.sqrt(2 * step) * standard_normal_like(x, generator)


def ula(target: Target | Scored, x: Tensor, *, step: float, generator: Generator | None = None) -> Iterator[State]:
    r"""The unadjusted Langevin algorithm from x, `c *rest`: every move is made. One call of the score a transition.

    It needs no log_prob, and is biased: for p = N(0, s^2) it samples N(0, s^2 / (1 - step / (2 s^2))), and with
    step >= 2 s^2 it diverges. Raises ValueError unless step > 0.
    """
    check_positive(step=step)
    x = chains(x)
    while True:
        x = move(x, score(target, x), step, generator)
        yield State(x)


def mala(
    target: Target,
    x: Tensor,
    *,
    step: float,
    warmup: int = 0,
    acceptance: float = 0.574,
    generator: Generator | None = None,
) -> Iterator[State]:
    r"""The Metropolis-adjusted Langevin algorithm from x, `c *rest`: the same move, with the accept rule. Unbiased.

    (Roberts & Tweedie 1996.) One call each of log_prob and score a transition. The first `warmup` transitions adapt the
    step until moves are accepted with the probability `acceptance`; 0.574 is best in many dimensions (Roberts &
    Rosenthal 1998). Where log p falls faster than a parabola, a chain that starts far out may never move: every
    proposal overshoots. Raises ValueError unless step > 0, and if a chain starts where log_prob is not finite.
    """
    tuning = DualAveraging(step, acceptance, warmup)
    x = chains(x)
    log_p, slope = log_prob_at_start(target, x), score(target, x)
    while True:
        step = tuning.step
        to = move(x, slope, step, generator)
        log_p_to, slope_to = log_prob(target, to), score(target, to)
        back, there = log_q(x, to, slope_to, step), log_q(to, x, slope, step)
        probability = accept_probability(log_p_to, log_p, back, there)
        accepted = accept(probability, generator)
        x = choose(accepted, to, x)
        log_p = choose(accepted, log_p_to, log_p)
        slope = choose(accepted, slope_to, slope)
        tuning.update(probability)
        yield State(x, log_p, accepted, step=torch.tensor(step, dtype=torch.float64))


def log_q(to: Tensor, given: Tensor, slope: Tensor, step: float) -> Float[Tensor, "c"]:
    r"""log density of `move` up to a constant, -|to - given - step slope|^2 / (4 step); slope: score at `given`."""
    return -sum_of_state((to - given - step * slope) ** 2) / (4 * step)


def annealed(
    score: Callable[[Tensor, int], Tensor],
    x: Tensor,
    sigmas: Sequence[float] | Float[Tensor, "levels"],
    *,
    step: float,
    n: int = 100,
    generator: Generator | None = None,
) -> Iterator[State]:
    r"""Annealed Langevin dynamics: n steps at each noise level, from the noisiest (Song & Ermon 2019, algorithm 1).

        x <- x + step_i score(x, i) + sqrt(2 step_i) noise,      step_i = step (sigmas[i] / sigmas[-1])^2

    At high noise levels the modes overlap, so the chains reach all of them in the right proportions. x: `c *rest`;
    score(x, i): that of the data at the noise level i; step: that of the last level, the paper's epsilon / 2, a small
    part of sigmas[-1]^2. Ends after n len(sigmas) states. Raises ValueError unless step and n > 0 and sigmas fall and
    are > 0. With a model and times = schedule.times(...):

        levels = [NoisedData(denoise, schedule, int(t)) for t in times.t[:-1]]
        annealed(lambda x, i: levels[i].score(x), x, times.sigma[:-1], step=...)
    """
    check_positive(step=step, n=n)
    x = chains(x)
    sigmas = [float(sigma) for sigma in sigmas]
    if not sigmas or sigmas[-1] <= 0 or any(b >= a for a, b in pairwise(sigmas)):
        raise ValueError(f"sigmas must fall and be greater than 0, got {sigmas}")
    for i, sigma in enumerate(sigmas):
        step_i = step * (sigma / sigmas[-1]) ** 2
        for _ in range(n):
            x = move(x, score(x, i), step_i, generator)
            yield State(x, step=torch.tensor(step_i, dtype=torch.float64))
