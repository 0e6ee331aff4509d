r"""Noise schedules: how much signal and how much noise there is at each time (article 2.1.1, 3.1.2).

    x_t = alpha_t x_0 + sigma_t eps,      alpha_t = sqrt(alpha_bar_t),   sigma_t = sqrt(1 - alpha_bar_t)

A schedule is two tables over t = 0..T, and it knows no network. **Index 0 is clean data** (alpha_0 = 1, sigma_0 = 0),
so the last step of a sampler is a step like all the others. The article's beta_t is 1 - alpha_bar_t /
alpha_bar_{t-1}.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

Name = Literal["linear", "scaled_linear", "cosine"]


class Times(NamedTuple):
    r"""The times a sampler visits, from the noisiest to 0, with the tables' entries there; m = n + 1 of each."""

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
    def snr(self) -> Float64[Tensor, "T1"]:
        r"""The signal-to-noise ratio alpha_t^2 / sigma_t^2: infinite at t = 0, falling."""
        return (self.alpha / self.sigma).square()

    @property
    def beta(self) -> Float64[Tensor, "T"]:
        r"""The variance that step t adds: beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}, for t = 1..T."""
        alpha_bar = self.alpha.square()
        return 1 - alpha_bar[1:] / alpha_bar[:-1]

    def times(self, n: int, spacing: str = "trailing") -> Times:
        r"""n + 1 times for n sampler steps. "trailing": T, T - T/n, ..., 0 (Lin et al. 2023, table 2).

        It starts at T, where the training ended; other spacings skip the noisiest times, and pictures come out grey.
        Raises ValueError unless 1 <= n <= T.
        """
        if not 1 <= n <= self.T:
            raise ValueError(f"{n} steps asked for; this schedule allows 1 to {self.T}")
        if spacing != "trailing":
            raise ValueError(f"spacing is {spacing!r}; valid is 'trailing'")
        t = torch.linspace(self.T, 0, n + 1, dtype=torch.float64).round().long()
        return Times(t, self.alpha[t].float(), self.sigma[t].float())


def from_beta(beta: Float64[Tensor, "T"]) -> Schedule:
    r"""The schedule of T single steps: alpha_bar_t = prod_{s <= t} (1 - beta_s) (Ho et al. 2020, eq. 4).

    A beta above 0.999 is cut there, which happens only to schedules of very few steps."""
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta.clamp(max=0.999)).cumprod(0)])
    return Schedule(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


def linear(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    r"""beta rises linearly (Ho et al. 2020, section 4; the article's listing). Made for T = 1000.

    The betas are scaled by 1000 / T, so that a schedule with fewer steps still ends in noise.
    """
    return from_beta((1000 / T) * torch.linspace(beta_1, beta_T, T, dtype=torch.float64))


def scaled_linear(T: int = 1000, beta_1: float = 0.00085, beta_T: float = 0.012) -> Schedule:
    r"""sqrt(beta) rises linearly: the schedule of Stable Diffusion (Rombach et al. 2022). Scaled like `linear`."""
    root = torch.linspace(math.sqrt(beta_1), math.sqrt(beta_T), T, dtype=torch.float64)
    return from_beta((1000 / T) * root.square())


def cosine(T: int = 1000, s: float = 0.008) -> Schedule:
    r"""alpha_bar_t = f(t) / f(0), f(t) = cos^2( (t/T + s) / (1 + s) * pi/2 ) (Nichol & Dhariwal 2021, eq. 17).

    It destroys the picture more evenly than `linear` and ends at exactly zero signal, which the paper avoids by
    clipping beta at 0.999; predicting v or x_0 has no trouble there.
    """
    f = torch.cos((torch.arange(T + 1, dtype=torch.float64) / T + s) / (1 + s) * math.pi / 2)
    alpha = f / f[0]
    alpha[-1] = 0.0  # cos(pi/2) is 6e-17 in floating point
    return Schedule(alpha, (1 - alpha.square()).sqrt())


SCHEDULES = {"linear": linear, "scaled_linear": scaled_linear, "cosine": cosine}


def make_schedule(name: str = "cosine", T: int = 1000) -> Schedule:
    r"""The schedule of that name. Raises ValueError for an unknown name or fewer than one step."""
    if name not in SCHEDULES:
        raise ValueError(f"schedule is {name!r}; valid are {', '.join(SCHEDULES)}")
    if T < 1:
        raise ValueError(f"T is {T}; a schedule needs at least one step")
    return SCHEDULES[name](T)
