r"""Noise schedules: how much signal and how much noise there is at each time (article 2.1.1, 3.1.2).

    x_t = alpha_t x_0 + sigma_t eps

A schedule is two tables over t = 0..T, and it knows no network. **Index 0 is clean data** (alpha_0 = 1, sigma_0 = 0),
and a sampler ends there. Three families differ only in their tables:

    variance preserving   alpha^2 + sigma^2 = 1        DDPM, Stable Diffusion; the article's beta and alpha_bar
    variance exploding    alpha = 1                    karras: noise is added to unscaled data
    flow                  alpha + sigma = 1            flow matching: a straight line from data to noise
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

ScheduleName = Literal["linear", "scaled_linear", "cosine", "sigmoid", "flow", "karras"]
Spacing = Literal["trailing", "leading", "linspace"]


class Times(NamedTuple):
    r"""The times that a sampler visits, from the noisiest to 0, and alpha and sigma there; m = n + 1 of each."""

    t: Int[Tensor, "m"]
    alpha: Float[Tensor, "m"]
    sigma: Float[Tensor, "m"]


@dataclass(frozen=True, eq=False)
class Schedule:
    r"""The tables alpha_t and sigma_t in float64, T + 1 entries each."""

    alpha: Float64[Tensor, "T1"]
    sigma: Float64[Tensor, "T1"]

    @property
    def T(self) -> int:
        r"""The number of forward steps."""
        return len(self.alpha) - 1

    @property
    def std_T(self) -> float:
        r"""The standard deviation of x_T for data of variance 1: sqrt(alpha_T^2 + sigma_T^2). Sampling starts with it.

        It is 1 if variance is preserved, and for a flow.
        """
        return math.hypot(self.alpha[-1], self.sigma[-1])

    @property
    def snr(self) -> Float64[Tensor, "T1"]:
        r"""The signal-to-noise ratio alpha_t^2 / sigma_t^2: infinite at t = 0, falling."""
        return (self.alpha / self.sigma).square()

    @property
    def beta(self) -> Float64[Tensor, "T"]:
        r"""The variance that step t adds, for t = 1..T: sigma_t^2 - (alpha_t / alpha_{t-1})^2 sigma_{t-1}^2.

        If variance is preserved, this is the article's beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}.
        """
        return self.sigma[1:] ** 2 - (self.alpha[1:] / self.alpha[:-1] * self.sigma[:-1]) ** 2

    def times(self, n: int, spacing: Spacing = "trailing", dtype: torch.dtype = torch.float32) -> Times:
        r"""n + 1 times for n sampler steps, the last of them 0 (Lin et al. 2023, table 2).

            n = 5, T = 1000     trailing   1000 800 600 400 200 0     starts at T, where the training ended
                                leading    801 601 401 201 1 0        skips the noisiest fifth: low contrast
                                linspace   1000 750 501 251 1 0       both ends, and a last step of almost no noise

        Raises ValueError unless 1 <= n <= T, and for an unknown spacing.
        """
        T = self.T
        if not 1 <= n <= T:
            raise ValueError(f"the number of steps must be between 1 and {T}, got {n}")
        match spacing:
            case "trailing":
                t = torch.linspace(T, T / n, n, dtype=torch.float64).round()
            case "leading":
                t = torch.arange(n - 1, -1, -1) * (T // n) + 1
            case "linspace":
                t = 1 + torch.linspace(T - 1, 0, n, dtype=torch.float64).round()  # as the network counts, from 0
            case _:
                raise ValueError(f"the spacing must be one of {', '.join(get_args(Spacing))}, got {spacing!r}")
        t = torch.cat([t.long(), torch.zeros(1, dtype=torch.long)])
        return Times(t, self.alpha[t].to(dtype), self.sigma[t].to(dtype))


# ------------------------------------------------------------------------------------------------- variance preserving


def from_alpha_bar(alpha_bar: Float64[Tensor, "T1"]) -> Schedule:
    r"""alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar)."""
    return Schedule(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


def from_beta(beta: Float64[Tensor, "T"]) -> Schedule:
    r"""The schedule of T single steps: alpha_bar_t = prod_{s <= t} (1 - beta_s) (Ho et al. 2020, eq. 4).

    A beta above 0.999 is clipped to it, which happens only in schedules of very few steps.
    """
    return from_alpha_bar(torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta.clamp(max=0.999)).cumprod(0)]))


def linear(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    r"""beta rises linearly (Ho et al. 2020, section 4; the article's listing). Chosen for T = 1000.

    The betas are scaled by 1000 / T, so that a schedule with fewer steps still ends in noise.
    """
    return from_beta((1000 / T) * torch.linspace(beta_1, beta_T, T, dtype=torch.float64))


def scaled_linear(T: int = 1000, beta_1: float = 0.00085, beta_T: float = 0.012) -> Schedule:
    r"""sqrt(beta) rises linearly: the schedule of Stable Diffusion (Rombach et al. 2022). Scaled like `linear`."""
    root = torch.linspace(math.sqrt(beta_1), math.sqrt(beta_T), T, dtype=torch.float64)
    return from_beta((1000 / T) * root.square())


def cosine(T: int = 1000, s: float = 0.008) -> Schedule:
    r"""alpha_bar_t = f(t) / f(0), f(t) = cos^2( (t/T + s) / (1 + s) * pi/2 ) (Nichol & Dhariwal 2021, eq. 17).

    It removes the signal more evenly than `linear` and ends at exactly zero signal, which the paper avoids by clipping
    beta at 0.999; predictions of v and of x_0 are finite there.
    """
    f = torch.cos((torch.arange(T + 1, dtype=torch.float64) / T + s) / (1 + s) * math.pi / 2)
    alpha = f / f[0]
    alpha[-1] = 0.0  # cos(pi/2) is 6e-17 in floating point
    return Schedule(alpha, (1 - alpha.square()).sqrt())


def sigmoid(T: int = 1000, start: float = -3.0, end: float = 3.0) -> Schedule:
    r"""alpha_bar falls along a sigmoid, stretched to go from 1 to 0 (Chen 2023, arXiv 2301.10972, at tau = 1)."""
    f = torch.linspace(start, end, T + 1, dtype=torch.float64).sigmoid()
    return from_alpha_bar((f[-1] - f) / (f[-1] - f[0]))


# ------------------------------------------------------------------------------------------------- the other families


def flow(T: int = 1000) -> Schedule:
    r"""A straight line, x_t = (1 - t/T) x_0 + (t/T) eps (Lipman et al. 2023; Liu et al. 2023)."""
    sigma = torch.linspace(0, 1, T + 1, dtype=torch.float64)
    return Schedule(1 - sigma, sigma)


def karras(T: int = 1000, sigma_1: float = 0.002, sigma_T: float = 80.0, rho: float = 7.0) -> Schedule:
    r"""Noise added to unscaled data; sigma^(1/rho) rises linearly from t = 1 to T (Karras et al. 2022, eq. 5)."""
    root = torch.linspace(sigma_T ** (1 / rho), sigma_1 ** (1 / rho), T, dtype=torch.float64)
    sigma = torch.cat([root**rho, torch.zeros(1, dtype=torch.float64)]).flip(0)
    return Schedule(torch.ones_like(sigma), sigma)


SCHEDULES: dict[ScheduleName, Callable[[int], Schedule]] = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "cosine": cosine,
    "sigmoid": sigmoid,
    "flow": flow,
    "karras": karras,
}


def make_schedule(name: ScheduleName = "cosine", T: int = 1000) -> Schedule:
    r"""The schedule of that name. Raises ValueError for an unknown name or fewer than one step."""
    if name not in SCHEDULES:
        raise ValueError(f"the schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
    if T < 1:
        raise ValueError(f"T must be at least 1, got {T}")
    return SCHEDULES[name](T)
