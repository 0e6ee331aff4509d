r"""Hamiltonian Monte Carlo: x moves with a random momentum in the potential -log p (article 3.2; Neal 2011).

    H(x, p) = -log p(x) + |p|^2 / 2,      dx/dt = p,      dp/dt = score(x)

The motion conserves the energy H and the volume in the space of (x, p), and so the density e^{-H} = p(x) N(p; 0, I).
One move goes far, where a random walk goes back and forth. Leapfrog steps conserve the volume exactly and the energy
nearly; the accept rule corrects for the difference.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from minidiffusion.diffusion.forward import standard_normal_like

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
from .target import Target, log_prob, score

DIVERGENT = 1000.0  # an energy error of a trajectory that no longer follows the true one


def leapfrog(
    score: Callable[[Tensor], Tensor], x: Tensor, p: Tensor, step: float, n: int, slope: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    r"""n leapfrog steps from (x, p): half a step of p, then x and p in turn, half a step of p (Neal 2011).

    Reversible, (x, -p) leads back; of determinant 1; its energy error falls with step^2. slope: the score at x, if
    known. Returns (x, p, the score there). Calls the score n times, once more if slope is not known.
    """
    slope = score(x) if slope is None else slope
    p = p + step / 2 * slope
    for i in range(n):
        x = x + step * p
        slope = score(x)
        p = p + (step if i < n - 1 else step / 2) * slope
    return x, p, slope


def hmc(
    target: Target,
    x: Tensor,
    *,
    step: float,
    n: int = 10,
    jitter: bool = True,
    warmup: int = 0,
    acceptance: float = 0.8,
    generator: torch.Generator | None = None,
) -> Iterator[State]:
    r"""Hamiltonian Monte Carlo from x, `c *rest`.

    Each transition makes n leapfrog steps; with jitter their number is drawn from 1..n, the same for all chains, as a
    trajectory of exactly one period would return to its start every time. One call of the score a leapfrog step and one
    of log_prob a transition. The first `warmup` transitions adapt the step until moves are accepted with the
    probability `acceptance`. States have the energy (see `diagnostics.ebfmi`) and whether the trajectory was
    divergent: an error of more than 1000 in energy, a sign of regions too narrow for the step.

    Raises ValueError unless step and n > 0, and if a chain starts where log_prob is not finite.
    """
    check_positive(n=n)
    tuning = DualAveraging(step, acceptance, warmup)
    x = chains(x)
    log_p, slope = log_prob_at_start(target, x), score(target, x)
    while True:
        step = tuning.step
        leaps = int(torch.randint(1, n + 1, (), generator=generator, device=x.device)) if jitter else n
        p = standard_normal_like(x, generator)
        to, p_to, slope_to = leapfrog(partial(score, target), x, p, step, leaps, slope)
        log_p_to = log_prob(target, to)
        energy = 0.5 * sum_of_state(p**2) - log_p
        energy_to = 0.5 * sum_of_state(p_to**2) - log_p_to
        divergent = ~(energy_to - energy < DIVERGENT)  # so that NaN is divergent
        probability = accept_probability(-energy_to, -energy)
        accepted = accept(probability, generator)
        x = choose(accepted, to, x)
        log_p = choose(accepted, log_p_to, log_p)
        slope = choose(accepted, slope_to, slope)
        energy = choose(accepted, energy_to, energy)
        tuning.update(probability)
        yield State(x, log_p, accepted, energy, divergent, torch.tensor(step, dtype=torch.float64))


class DualAveraging:
    r"""Adapts the step until moves are accepted with the wanted probability (Hoffman & Gelman 2014, algorithm 5).

        H <- (1 - 1/(m + t_0)) H + (wanted - probability) / (m + t_0)
        log step = log(10 step_0) - sqrt(m) / gamma H
        log average <- m^-kappa log step + (1 - m^-kappa) log average

    H is the mean shortfall of the acceptance probability. For m = 1..warmup the step varies; then it is fixed at the
    average, since a chain whose step depends on its past does not sample p. The probability is the mean over the
    chains, which share one step. Raises ValueError unless step > 0, warmup >= 0 and 0 < wanted < 1.
    """

    GAMMA, T_0, KAPPA = 0.05, 10, 0.75  # the paper's

    def __init__(self, step: float, wanted: float, warmup: int):
        check_positive(step=step)
        if not 0 < wanted < 1 or warmup < 0:
            raise ValueError(f"acceptance must be between 0 and 1, and warmup at least 0, got {wanted} and {warmup}")
        self.step, self.wanted, self.warmup = step, wanted, warmup
        self.mu = math.log(10 * step)
        self.m = 0
        self.H = self.log_average = 0.0

    def update(self, probability: Tensor) -> None:
        r"""Adapts the step to the acceptance probabilities of one transition; after warmup it does nothing."""
        if self.m == self.warmup:
            return
        self.m += 1
        self.H += (self.wanted - probability.mean().item() - self.H) / (self.m + self.T_0)
        log_step = self.mu - math.sqrt(self.m) / self.GAMMA * self.H
        weight = self.m**-self.KAPPA
        self.log_average = weight * log_step + (1 - weight) * self.log_average
        self.step = math.exp(log_step if self.m < self.warmup else self.log_average)
