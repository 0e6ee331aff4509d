r"""Samplers: from noise to data (article 3.1.3, 4.1.2).

A sampler knows neither network nor schedule. It gets `denoise(x_t, t) -> Prediction(x0, eps)` and the times to visit,
and it is a generator that yields one `Step` after each move, so the caller sees the whole trajectory:

    *trajectory, last = ddim(denoise, x_T, times)      # last.x is the picture

x starts as standard normal noise times `Schedule.std_T`. At the last time sigma is 0: no noise is left to add, and a
sampler ends on its last x0_hat.

Samplers run under `torch.no_grad`, or every step would keep the activations of all steps before it. To differentiate
through a sampler, call the function that the decorator wraps: `ddim.__wrapped__(denoise, x_T, times)`. A denoiser that
needs gradients itself enables them, as `guidance.classifier` does.

    draws noise at every step     ddpm, euler_maruyama, predictor_corrector    the reverse Markov chain, the reverse SDE
    deterministic, order 1        ddim = euler                                 the probability-flow ODE
    deterministic, order 2        heun (two calls a step), plms, dpm_solver_pp

Song et al. 2021a is the paper of DDIM (arXiv 2010.02502), 2021b that of the SDE (2011.13456).
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .forward import ReverseVariance, choose_variance, posterior, standard_normal_like, transition
from .prediction import Denoise
from .schedule import Times

Noise = Callable[[Tensor], Tensor]
r"""noise(x): fresh standard normal noise in the shape of x."""


class Step(NamedTuple):
    r"""After step i: the time reached, the state there, and the estimate of x_0 that the step was made with."""

    i: int
    t: int
    x: Tensor
    x0_hat: Tensor


# ------------------------------------------------------------------------------------------------- drawing noise


@torch.no_grad()
def ddpm(
    denoise: Denoise,
    x: Tensor,
    times: Times,
    *,
    variance: ReverseVariance = "beta_tilde",
    noise: Noise = standard_normal_like,
) -> Iterator[Step]:
    r"""Ancestral sampling: draw x_s from q(x_s | x_t, x0_hat) (Ho et al. 2020, algorithm 2).

    x: `b ...`. Needs hundreds of steps to be good. variance: "beta_tilde" is that of q, "beta" is larger (section 3.2
    there), "learned" lies between them, where the network predicts. Raises ValueError for another, and for "learned" if
    the network does not predict it.
    """
    for i in range(len(times.t) - 1):
        alpha, sigma = times.alpha[i : i + 2], times.sigma[i : i + 2]
        x0_hat, _, nu = denoise(x, times.t[i])
        mean, tilde = posterior(x, x0_hat, alpha, sigma)
        var = choose_variance(variance, transition(alpha, sigma)[1], tilde, nu)
        x = mean + var.sqrt() * noise(x) if sigma[1] > 0 else mean  # the last step ends in x0_hat, without noise
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


@torch.no_grad()
def euler_maruyama(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""The reverse SDE by the Euler-Maruyama method (Song et al. 2021b, the predictor of algorithm 3).

        x_s = (2 - alpha_t / alpha_s) x_t + beta score + sqrt(beta) noise,      score = -eps_hat / sigma_t

    beta is the variance that the step from s to t added. 2 - alpha_t / alpha_s is 1 + beta / 2, up to beta^2.
    """
    for i in range(len(times.t) - 1):
        x, x0_hat = _reverse_sde(denoise, x, times, i, noise)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


@torch.no_grad()
def predictor_corrector(
    denoise: Denoise,
    x: Tensor,
    times: Times,
    *,
    corrections: int = 1,
    r: float = 0.16,
    noise: Noise = standard_normal_like,
) -> Iterator[Step]:
    r"""A step of the reverse SDE, then Langevin dynamics at the noise level reached (Song et al. 2021b, alg. 3).

        x <- x + delta score + sqrt(2 delta) noise,      delta = 2 (r sigma_s)^2

    The corrections leave p_s invariant, up to their step size, and so move x towards p_s from where the predictor's
    error has put it. (The paper takes delta from the norm of the score of a whole batch; here samples are independent.)
    """
    for i in range(len(times.t) - 1):
        x, x0_hat = _reverse_sde(denoise, x, times, i, noise)
        sigma_s = times.sigma[i + 1]
        delta = 2 * (r * sigma_s) ** 2
        for _ in range(corrections if sigma_s > 0 else 0):
            x = x - delta / sigma_s * denoise(x, times.t[i + 1]).eps + (2 * delta).sqrt() * noise(x)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def _reverse_sde(denoise: Denoise, x: Tensor, times: Times, i: int, noise: Noise) -> tuple[Tensor, Tensor]:
    r"""(x_s, x0_hat) of one Euler-Maruyama step. The step to sigma = 0 adds no noise and ends on x0_hat."""
    x0_hat, eps_hat, _ = denoise(x, times.t[i])
    if times.sigma[i + 1] == 0:
        return x0_hat, x0_hat
    factor, beta = transition(times.alpha[i : i + 2], times.sigma[i : i + 2])
    return (2 - factor) * x - beta / times.sigma[i] * eps_hat + beta.sqrt() * noise(x), x0_hat


# ------------------------------------------------------------------------------------------------- solving the ODE


@torch.no_grad()
def ddim(
    denoise: Denoise, x: Tensor, times: Times, *, eta: float = 0.0, noise: Noise = standard_normal_like
) -> Iterator[Step]:
    r"""Denoising diffusion implicit models (Song et al. 2021a, eq. 12 and 16).

        x_s = alpha_s x0_hat + sqrt(sigma_s^2 - sigma_rev^2) eps_hat + sigma_rev * noise
        sigma_rev = eta (sigma_s / sigma_t) sqrt(1 - (alpha_t / alpha_s)^2)

    eta = 0 is deterministic: x_T determines the picture. eta = 1 is `ddpm`.
    """
    for i in range(len(times.t) - 1):
        (alpha_t, alpha_s), (sigma_t, sigma_s) = times.alpha[i : i + 2], times.sigma[i : i + 2]
        x0_hat, eps_hat, _ = denoise(x, times.t[i])
        sigma_rev = eta * sigma_s / sigma_t * (1 - (alpha_t / alpha_s) ** 2).sqrt()
        x = alpha_s * x0_hat + (sigma_s**2 - sigma_rev**2).clamp(min=0).sqrt() * eps_hat
        if eta > 0:
            x = x + sigma_rev * noise(x)
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


@torch.no_grad()
def euler(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""Euler's method on the probability-flow ODE (Karras et al. 2022, eq. 1 and 4). It is DDIM with eta = 0.

    For y = x / alpha and the noise-to-signal ratio k = sigma / alpha the ODE is dy/dk = eps_hat, so a step goes to
    y_s = y_t + (k_s - k_t) eps_hat. Multiply by alpha_s: x_s = alpha_s x0_hat + sigma_s eps_hat.
    """
    yield from ddim(denoise, x, times, eta=0.0)


@torch.no_grad()
def heun(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""Heun's method on the same ODE: Euler's step, then again with the mean of the slopes at both ends.

    Second order, two calls a step (Karras et al. 2022, algorithm 1, without churn). Where the slope is undefined at one
    end (no signal at t, no noise at s), the step is Euler's.
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


@torch.no_grad()
def plms(denoise: Denoise, x: Tensor, times: Times, *, noise: Noise = standard_normal_like) -> Iterator[Step]:
    r"""Pseudo linear multistep, Stable Diffusion's first sampler (Liu et al. 2022, eq. 12).

    The slope is extrapolated from up to four past ones; n steps make n + 1 calls, since the first step, which has no
    past, is Heun's. The weights are those for equal steps, which the steps are in t but not in the ODE's own time, so
    the order is 2 at most.
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


@torch.no_grad()
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
    r"""(x_s, x_0) of a step of the ODE with that slope; x_0 is where the line through x_t with that slope ends.

    Without signal (alpha_t = 0) x_t does not determine x_0, and x_0 is x0_hat.
    """
    if times.alpha[i] > 0:
        x0_hat = (x - times.sigma[i] * slope) / times.alpha[i]
    return times.alpha[i + 1] * x0_hat + times.sigma[i + 1] * slope, x0_hat


SamplerName = Literal["ddpm", "ddim", "euler", "heun", "plms", "dpm++", "euler-maruyama", "predictor-corrector"]

SAMPLERS: dict[SamplerName, Callable[..., Iterator[Step]]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "heun": heun,
    "plms": plms,
    "dpm++": dpm_solver_pp,
    "euler-maruyama": euler_maruyama,
    "predictor-corrector": predictor_corrector,
}
