r"""Markov chain Monte Carlo: sampling from a density without training a network (article 3.2).

Samplers are generators that move many chains at once.

    target        what can be sampled: log p(x), its gradient, or a trained denoiser
    metropolis    Metropolis-Hastings, and the accept rule that others share
    langevin      unadjusted, Metropolis-adjusted and annealed Langevin dynamics
    hamiltonian   Hamiltonian Monte Carlo, with adaptation of its step size
    diagnostics   R-hat, effective sample size, standard error, E-BFMI
"""

from .diagnostics import acceptance, autocorrelation, ebfmi, ess_bulk, ess_tail, mcse, rhat
from .hamiltonian import hmc, leapfrog
from .langevin import annealed, mala, ula
from .metropolis import Proposal, RandomWalk, State, collect, metropolis_hastings
from .target import Funnel, Gaussian, NoisedData, Target, correlated

__all__ = [
    "Funnel", "Gaussian", "NoisedData", "Proposal", "RandomWalk", "State", "Target", "acceptance", "annealed",
    "autocorrelation", "collect", "correlated", "ebfmi", "ess_bulk", "ess_tail", "hmc", "leapfrog", "mala", "mcse",
    "metropolis_hastings", "rhat", "ula",
]  # fmt: skip
