r"""Samplers: from noise back to a picture (article 3.1.3, 4.1.2).

A sampler knows neither network nor schedule. It gets `denoise(x_t, t) -> Prediction(x0, eps)` and the times to visit,
and it is a generator that yields one `Step` after each move, so the whole way is there for whoever wants to see it:

    *way, last = ddim(denoise, x_T, times)      # last.x is the picture

x starts as standard normal noise times `Schedule.spread_T`. At the last time sigma is 0: no noise is left to add, and
a sampler ends on the x_0 it was heading for.

    draws noise at every step     ddpm, euler_maruyama, predictor_corrector    the reverse Markov chain, the reverse SDE
    deterministic, order 1        ddim = euler                                 the probability-flow ODE
    deterministic, order 2        heun (two calls a step), plms, dpm_solver_pp

Song et al. 2021a is the paper of DDIM (arXiv 2010.02502), 2021b that of the SDE (2011.13456).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from minidiffusion.diffusion.forward import choose_variance, posterior, standard_normal_like, transition
from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.schedule import Times

Denoise = Callable[[Tensor, Tensor], Prediction]
Noise = Callable[[Tensor], Tensor]


class Step(NamedTuple):
    r"""What a sampler shows after move i: the time it reached, the state there, and the x_0 it was heading for."""

    i: int
    t: int
    x: Tensor
    x0_hat: Tensor


# ------------------------------------------------------------------------------------------------- drawing noise


def ddpm(
    denoise: Denoise,
    x: Tensor,
    times: Times,
    *,
    variance: str = "beta_tilde",
    noise: Noise = standard_normal_like,
) -> Iterator[Step]:
    r"""Ancestral sampling: draw x_s from q(x_s | x_t, x0_hat) (Ho et al. 2020, algorithm 2).

    x: `b ...`; noise(x) draws fresh noise in the shape of x. Needs many steps (hundreds) to be good. The variance is
    that of q, "beta_tilde", or the larger "beta" (section 3.2 there), or where the network says that it lies between
    them, "learned". Raises ValueError for another, and if the network says nothing.
    """
    for i in range(len(times.t) - 1):
        alpha, sigma = times.alpha[i : i + 2], times.sigma[i : i + 2]
        x0_hat, _, nu = denoise(x, times.t[i])
        mean, tilde = posterior(x, x0_hat, alpha, sigma)
        var = choose_variance(variance, transition(alpha, sigma)[1], tilde, nu)
        x = mean + var.sqrt() * noise(x) if sigma[1] > 0 else mean  # the last step ends in x0_hat, without noise
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def euler_maruyama(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""The reverse SDE by its simplest solver (Song et al. 2021b, the predictor of algorithm 3).

        x_s = (2 - alpha_t / alpha_s) x_t + beta score + sqrt(beta) noise,      score = -eps_hat / sigma_t

    beta is the variance that the step from s to t added. 2 - alpha_t / alpha_s is 1 + beta / 2, up to beta^2.
    """
    for i in range(len(times.t) - 1):
        x, x0_hat = _reverse_sde(denoise, x, times, i, noise)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def predictor_corrector(
    denoise: Denoise,
    x: Tensor,
    times: Times,
    *,
    corrections: int = 1,
    r: float = 0.16,
    noise: Noise = standard_normal_like,
) -> Iterator[Step]:
    r"""A step of the reverse SDE, then Langevin dynamics at the level that it reached (Song et al. 2021b, alg. 3).

        x <- x + delta score + sqrt(2 delta) noise,      delta = 2 (r sigma_s)^2

    The corrections do not go anywhere; they pull x to where p_s is high, and so repair what the predictor got wrong.
    (The paper takes delta from the length of the score of a whole batch; here no picture depends on its neighbours.)
    """
    for i in range(len(times.t) - 1):
        x, x0_hat = _reverse_sde(denoise, x, times, i, noise)
        sigma_s = times.sigma[i + 1]
        delta = 2 * (r * sigma_s) ** 2
        for _ in range(corrections if sigma_s > 0 else 0):
            x = x - delta / sigma_s * denoise(x, times.t[i + 1]).eps + (2 * delta).sqrt() * noise(x)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def _reverse_sde(denoise: Denoise, x: Tensor, times: Times, i: int, noise: Noise) -> tuple[Tensor, Tensor]:
    r"""(x_s, x0_hat) of one Euler-Maruyama step. The step to sigma = 0 has no noise to add, and goes to x0_hat."""
    x0_hat, eps_hat, _ = denoise(x, times.t[i])
    if times.sigma[i + 1] == 0:
        return x0_hat, x0_hat
    factor, beta = transition(times.alpha[i : i + 2], times.sigma[i : i + 2])
    return (2 - factor) * x - beta / times.sigma[i] * eps_hat + beta.sqrt() * noise(x), x0_hat


# ------------------------------------------------------------------------------------------------- solving the ODE


def ddim(
    denoise: Denoise, x: Tensor, times: Times, *, eta: float = 0.0, noise: Noise = standard_normal_like
) -> Iterator[Step]:
    r"""Denoising diffusion implicit models (Song et al. 2021a, eq. 12 and 16).

        x_s = alpha_s x0_hat + sqrt(sigma_s^2 - spread^2) eps_hat + spread * noise
        spread = eta (sigma_s / sigma_t) sqrt(1 - (alpha_t / alpha_s)^2)

    eta = 0 is deterministic: the same noise always gives the same picture. eta = 1 is `ddpm`.
    """
    for i in range(len(times.t) - 1):
        (alpha_t, alpha_s), (sigma_t, sigma_s) = times.alpha[i : i + 2], times.sigma[i : i + 2]
        x0_hat, eps_hat, _ = denoise(x, times.t[i])
        spread = eta * sigma_s / sigma_t * (1 - (alpha_t / alpha_s) ** 2).sqrt()
        x = alpha_s * x0_hat + (sigma_s**2 - spread**2).clamp(min=0).sqrt() * eps_hat
        if eta > 0:
            x = x + spread * noise(x)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def euler(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""Euler's method on the probability-flow ODE (Karras et al. 2022, eq. 1 and 4). It *is* DDIM with eta = 0.

    For y = x / alpha and the noise-to-signal ratio k = sigma / alpha the ODE is dy/dk = eps_hat, so a step goes to
    y_s = y_t + (k_s - k_t) eps_hat. Multiply by alpha_s: x_s = alpha_s x0_hat + sigma_s eps_hat.
    """
    yield from ddim(denoise, x, times, eta=0.0)


def heun(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""Heun's method on the same ODE: Euler's step, then again with the mean of the slopes at both ends.

    Second order, two calls a step (Karras et al. 2022, algorithm 1, without churn). Where one end has no slope (no
    signal at t, no noise at s) Euler's step stands.
    """
    for i in range(len(times.t) - 1):
        x0_hat, eps_hat, _ = denoise(x, times.t[i])
        alpha_t, sigma_s = times.alpha[i], times.sigma[i + 1]
        if alpha_t > 0 and sigma_s > 0:
            ahead = times.alpha[i + 1] * x0_hat + sigma_s * eps_hat
            eps_hat = (eps_hat + denoise(ahead, times.t[i + 1]).eps) / 2
        x, x0_hat = _along(x, x0_hat, eps_hat, times, i)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


ADAMS_BASHFORTH = (1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24)


def plms(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""Pseudo linear multistep, Stable Diffusion's first sampler (Liu et al. 2022, eq. 12).

    The slope is extrapolated from up to four past ones; n steps make n + 1 calls, since the first step, which has no
    past, is Heun's. The weights are those for equal steps, which the steps are in t but not in the ODE's own time:
    no better than second order.
    """
    past: list[Tensor] = []
    for i in range(len(times.t) - 1):
        x0_hat, eps_hat, _ = denoise(x, times.t[i])
        past = [eps_hat, *past[:3]]
        if i == 0 and times.sigma[1] > 0:
            ahead = times.alpha[1] * x0_hat + times.sigma[1] * eps_hat
            slope = (eps_hat + denoise(ahead, times.t[1]).eps) / 2
        else:
            slope = torch.stack([c * e for c, e in zip(ADAMS_BASHFORTH[len(past) - 1], past, strict=True)]).sum(0)
        x, x0_hat = _along(x, x0_hat, slope, times, i)
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
        x0_hat = denoise(x, times.t[i]).x0
        if x0_before is None or torch.isinf(h[i]):
            D = x0_hat
        else:
            D = x0_hat + (x0_hat - x0_before) * h[i] / (2 * h[i - 1])
        x = times.sigma[i + 1] / times.sigma[i] * x - times.alpha[i + 1] * torch.expm1(-h[i]) * D
        x0_before = x0_hat
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def _along(x: Tensor, x0_hat: Tensor, slope: Tensor, times: Times, i: int) -> tuple[Tensor, Tensor]:
    r"""(x_s, x_0) of a step of the ODE with that slope: the x_0 that goes with it lies on the same line through x_t.

    Without signal (alpha_t = 0) x_t says nothing about x_0, and x0_hat is all there is.
    """
    if times.alpha[i] > 0:
        x0_hat = (x - times.sigma[i] * slope) / times.alpha[i]
    return times.alpha[i + 1] * x0_hat + times.sigma[i + 1] * slope, x0_hat


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "heun": heun,
    "plms": plms,
    "dpm++": dpm_solver_pp,
    "euler-maruyama": euler_maruyama,
    "predictor-corrector": predictor_corrector,
}
