r"""Langevin dynamics: up the slope of the density, and shaken so as not to stay at the top (article 3.2).

    x <- x + step score(x) + sqrt(2 step) noise

As the steps shrink this becomes a diffusion whose stationary density is p (Roberts & Tweedie 1996). With any real step
it ends up slightly beside p, which the accept rule repairs; and it hardly ever finds the way from one mode to another,
which noise repairs: that is where diffusion models come from.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from minidiffusion.diffusion.forward import standard_normal_like

from minidiffusion.mcmc.hamiltonian import DualAveraging
from minidiffusion.mcmc.metropolis import State, accept, accept_probability, chains, check_positive, choose, log_prob_at_start, sum_of_state
from minidiffusion.mcmc.target import Scored, Target, log_prob, score


def move(x: Tensor, slope: Tensor, step: float, generator: Generator | None = None) -> Tensor:
    r"""One step from x, where the score is `slope`."""
    return x + step * slope + math.sqrt(2 * step) * standard_normal_like(x, generator)


def ula(target: Target | Scored, x: Tensor, *, step: float, generator: Generator | None = None) -> Iterator[State]:
    r"""The unadjusted Langevin algorithm from x, `c *rest`: every move is made. One call of the score a transition.

    It needs no log_prob, and is biased: where p is N(0, s^2) it samples N(0, s^2 / (1 - step / (2 s^2))), and with
    step >= 2 s^2 it runs off to infinity. Raises ValueError unless step > 0.
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
    r"""The Metropolis-adjusted Langevin algorithm from x, `c *rest`: the same move, accepted or not. Without bias.

    (Roberts & Tweedie 1996.) One call each of log_prob and score a transition. The first `warmup` transitions look for
    the step at which moves are accepted with the probability `acceptance`; 0.574 is best for many dimensions (Roberts &
    Rosenthal 1998). Where log p falls faster than a parabola, a chain that starts far out may never leave: every move
    overshoots. Raises ValueError unless step > 0, and if a chain starts where log_prob is not finite.
    """
    tuning, x = DualAveraging(step, acceptance, warmup), chains(x)
    log_p, slope = log_prob_at_start(target, x), score(target, x)
    while True:
        step = tuning.step
        to = move(x, slope, step, generator)
        log_p_to, slope_to = log_prob(target, to), score(target, to)
        back, there = log_q(x, to, slope_to, step), log_q(to, x, slope, step)
        probability = accept_probability(log_p_to, log_p, back, there)
        accepted = accept(probability, generator)
        x, log_p, slope = choose(accepted, to, x), choose(accepted, log_p_to, log_p), choose(accepted, slope_to, slope)
        tuning.update(probability)
        yield State(x, log_p, accepted, step=torch.tensor(step, dtype=torch.float64))


def log_q(to: Tensor, given: Tensor, slope: Tensor, step: float) -> Float[Tensor, "c"]:
    r"""log density of `move` from `given`, where the score is `slope`: -|to - given - step slope|^2 / (4 step)."""
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

    Much noise joins the modes, so that x finds all of them in the right shares before they part. x: `c *rest`;
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
        raise ValueError(f"sigmas are {sigmas}; valid are levels that fall, and stay above 0")
    for i, sigma in enumerate(sigmas):
        step_i = step * (sigma / sigmas[-1]) ** 2
        for _ in range(n):
            x = move(x, score(x, i), step_i, generator)
            yield State(x, step=torch.tensor(step_i, dtype=torch.float64))
