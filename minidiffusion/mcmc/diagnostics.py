r"""Convergence diagnostics of Markov chains (article 3.2; Vehtari et al. 2021, arXiv 1903.08008).

Draws are `n c *rest`: n draws from each of c chains, as from `metropolis.collect`. Every number of the state is
diagnosed alone, so the results have the shape `*rest`.

    rhat                 whether the chains agree: above 1.01 they do not
    ess_bulk, ess_tail   the number of independent draws that are worth as much: for the mean, and for the 5 % and 95 %
                         quantiles
    mcse                 the standard error of the mean
    ebfmi                whether the momenta of hmc reach all energies: below 0.3 they do not

None of these can detect a mode that no chain has visited.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def acceptance(accepted: Bool[Tensor, "n c"]) -> Float[Tensor, "c"]:
    r"""The share of moves that each chain accepted."""
    return accepted.double().mean(dim=0)


def autocorrelation(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "n c *rest"]:
    r"""The correlation of each chain with itself, 0 to n - 1 draws later. NaN for a chain that does not move."""
    covariance = autocovariance(draws)
    moves = draws.amax(dim=0) > draws.amin(dim=0)  # else covariance[0] is 0, or what rounding made of it
    return covariance / covariance[0].where(moves, torch.nan)


def autocovariance(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "n c *rest"]:
    r"""(1/n) sum_i (x_i - mean) (x_{i + lag} - mean) for all lags, by FFT: a convolution in time is a product there.

    Padded with as many zeros, so that the end of a chain does not meet its beginning.
    """
    n = len(draws)
    spectrum = torch.fft.rfft(draws - draws.mean(dim=0), n=2 * n, dim=0)
    return torch.fft.irfft(spectrum.abs() ** 2, n=2 * n, dim=0)[:n] / n


def rhat(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "*rest"]:
    r"""Rank-normalised split R-hat (Vehtari et al. 2021): the larger of that of location and of scale.

        R-hat = sqrt( ((n - 1)/n W + B/n) / W )

    W is the mean variance within the (half) chains, B/n the variance of their means. Halves, so that a drifting chain
    disagrees with itself; ranks, so that heavy tails do no harm; distances from the median, so that chains with the
    same median and different variances are detected. Raises ValueError for fewer than 4 draws.
    """
    halves = _split(draws)
    everything = halves.flatten(0, 1).sort(dim=0).values
    median = (everything[(len(everything) - 1) // 2] + everything[len(everything) // 2]) / 2
    return torch.maximum(_rhat(_normal_scores(halves)), _rhat(_normal_scores((halves - median).abs())))


def ess_bulk(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "*rest"]:
    r"""The effective sample size of the rank-normalised draws: how well the centre of the distribution is known.

    NaN if all draws are the same. Raises ValueError for fewer than 4 draws.
    """
    return _ess(_normal_scores(_split(draws)))


def ess_tail(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "*rest"]:
    r"""The smaller of the effective sample sizes of the events x <= 5 % quantile and x <= 95 % quantile.

    NaN if no draw is above one of them, as after many equal draws. Raises ValueError for fewer than 4 draws.
    """
    flat = draws.flatten(0, 1)

    def ess_below(probability: float) -> Tensor:
        # Interpolating between two draws would change nothing, as there is no draw between them.
        quantile = flat.kthvalue(int(probability * (len(flat) - 1)) + 1, dim=0).values
        return _ess(_split((draws <= quantile).double().where(draws.isfinite(), torch.nan)))

    return torch.minimum(ess_below(0.05), ess_below(0.95))


def mcse(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "*rest"]:
    r"""The Monte Carlo standard error of the mean: std / sqrt(ESS of the draws as they are).

    NaN if all draws are the same. Raises ValueError for fewer than 4 draws.
    """
    return draws.double().flatten(0, 1).std(dim=0) / _ess(_split(draws)).sqrt()


def ebfmi(energy: Float[Tensor, "n c"]) -> Float[Tensor, "c"]:
    r"""The energy Bayesian fraction of missing information of each chain (Betancourt 2016, arXiv 1604.00695).

        sum_i (E_i - E_{i-1})^2 / sum_i (E_i - mean)^2

    The change of the energy in a transition, which only the new momentum makes, relative to its variance.
    """
    return energy.diff(dim=0).square().sum(dim=0) / (energy - energy.mean(dim=0)).square().sum(dim=0)


# ------------------------------------------------------------------------------------------------- internals


def _split(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "half c2 *rest"]:
    r"""Each chain as two, in float64. Of an odd number, the middle draw is left out."""
    if len(draws) < 4:
        raise ValueError(f"each chain must have at least 4 draws, got {len(draws)}")
    half = len(draws) // 2
    return torch.cat([draws[:half], draws[-half:]], dim=1).double()


def _normal_scores(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "n c *rest"]:
    r"""Each draw's rank among all S, equal ones sharing theirs, as a quantile of N(0, 1) (Vehtari et al. 2021).

    z = Phi^{-1}( (rank - 3/8) / (S + 1/4) )
    """
    flat = draws.reshape(draws.shape[0] * draws.shape[1], -1).T.contiguous()
    ordered = flat.sort(dim=1).values
    below, up_to = torch.searchsorted(ordered, flat), torch.searchsorted(ordered, flat, right=True)
    rank = (below + up_to + 1) / 2
    z = torch.special.ndtri((rank.double() - 3 / 8) / (flat.shape[1] + 1 / 4))
    return z.where(flat.isfinite(), torch.nan).T.reshape(draws.shape)


def _rhat(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "*rest"]:
    n = len(draws)
    within = draws.var(dim=0).mean(dim=0)
    return ((n - 1) / n + draws.mean(dim=0).var(dim=0) / within).sqrt()


def _ess(draws: Float[Tensor, "n c *rest"]) -> Float[Tensor, "*rest"]:
    r"""n c / tau, tau = 1 + 2 sum_lag rho(lag) (Vehtari et al. 2021; Geyer 1992).

    rho compares the chains' autocovariance with the variance of all of them together: chains that disagree have few
    effective draws. In a reversible chain the pairs P_k = rho(2k) + rho(2k + 1) are positive and fall; the sum ends
    at the first that is not positive, as the rest is noise, and each counts as the smallest up to it. As in Stan, the
    next rho counts once, if positive, and an ESS is at most n c log10(n c).
    """
    n, c = draws.shape[:2]
    covariance = autocovariance(draws).mean(dim=1)
    between = draws.mean(dim=0).var(dim=0) if c > 1 else 0
    within = covariance[0] * n / (n - 1)
    rho = 1 - (within - covariance) / (covariance[0] + between)
    rho[0] = torch.where(draws.amax(dim=(0, 1)) > draws.amin(dim=(0, 1)), 1, torch.nan)
    pairs = (rho[0 : n - 1 : 2] + rho[1::2])[: (n - 3) // 2]  # the last lags are means of one or two products
    positive = (pairs > 0).long().cumprod(dim=0)
    after = rho[::2].gather(0, positive.sum(dim=0, keepdim=True))[0]
    tau = -1 + 2 * (pairs.cummin(dim=0).values * positive).sum(dim=0) + after.clamp(min=0)
    return n * c / tau.clamp(min=1 / math.log10(n * c))
