r"""Samplers: from noise back to a picture (article 3.1.3, 4.1.2).

A sampler knows neither network nor schedule. It gets `denoise(x_t, t) -> Prediction(x0, eps)` and the times to visit,
and it is a generator that yields one `Step` after each move, so the whole way is there for whoever wants to see it:

    *way, last = ddim(denoise, x_T, times)      # last.x is the picture

At the last time sigma is 0, so every sampler ends on its last x_0 prediction, without a special case.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .forward import posterior, standard_normal_like
from .prediction import Prediction
from .schedule import Times

Denoise = Callable[[Tensor, Tensor], Prediction]
Noise = Callable[[Tensor], Tensor]


class Step(NamedTuple):
    r"""What a sampler shows after move i: the time it reached, the state there, and the x_0 it was heading for."""

    i: int
    t: int
    x: Tensor
    x0_hat: Tensor


def ddpm(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""Ancestral sampling: draw x_s from q(x_s | x_t, x0_hat) (Ho et al. 2020, algorithm 2, with sigma^2 = beta-tilde).

    x: `b ...`, standard normal; noise(x) draws fresh noise in the shape of x. Needs many steps (hundreds) to be good.
    """
    for i in range(len(times.t) - 1):
        x0_hat, _ = denoise(x, times.t[i])
        mean, var = posterior(x, x0_hat, times.alpha[i : i + 2], times.sigma[i : i + 2])
        x = mean + var.sqrt() * noise(x)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def ddim(
    denoise: Denoise, x: Tensor, times: Times, *, eta: float = 0.0, noise: Noise = standard_normal_like
) -> Iterator[Step]:
    r"""Denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16).

        x_s = alpha_s x0_hat + sqrt(sigma_s^2 - spread^2) eps_hat + spread * noise
        spread = eta (sigma_s / sigma_t) sqrt(1 - (alpha_t / alpha_s)^2)

    eta = 0 is deterministic: the same noise always gives the same picture. eta = 1 is `ddpm`.
    """
    for i in range(len(times.t) - 1):
        (alpha_t, alpha_s), (sigma_t, sigma_s) = times.alpha[i : i + 2], times.sigma[i : i + 2]
        x0_hat, eps_hat = denoise(x, times.t[i])
        spread = eta * sigma_s / sigma_t * (1 - (alpha_t / alpha_s) ** 2).sqrt()
        x = alpha_s * x0_hat + (sigma_s**2 - spread**2).clamp(min=0).sqrt() * eps_hat
        if eta > 0:
            x = x + spread * noise(x)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def dpm_solver_pp(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""DPM-Solver++(2M): second order at one call a step (Lu et al. 2022, algorithm 2). Deterministic: ignores `noise`.

    In the half-logarithmic time lambda = log(alpha / sigma) the ODE is solved exactly except for x_0, which is
    extrapolated from the last two predictions:

        x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - e^{-h}) D,     h = lambda_s - lambda_t
        D = x0_hat + (x0_hat - x0_before) / (2 r),                  r = h_before / h

    The first step has no past and the last has h = infinity; there D is x0_hat alone, which is DDIM's step.
    """
    lam = times.alpha.log() - times.sigma.log()
    h = lam.diff()
    x0_before = None
    for i in range(len(times.t) - 1):
        x0_hat, _ = denoise(x, times.t[i])
        if x0_before is None or torch.isinf(h[i]):
            D = x0_hat
        else:
            D = x0_hat + (x0_hat - x0_before) * h[i] / (2 * h[i - 1])
        x = times.sigma[i + 1] / times.sigma[i] * x - times.alpha[i + 1] * torch.expm1(-h[i]) * D
        x0_before = x0_hat
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {"ddpm": ddpm, "ddim": ddim, "dpm++": dpm_solver_pp}
