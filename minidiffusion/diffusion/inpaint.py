r"""Inpainting: filling in the missing part of a picture with a model not trained for it (Lugmayr et al. 2022).

`inpaint` is their RePaint (algorithm 1): each step samples the unknown part as usual and replaces the known part by
alpha_s known + sigma_s noise. The two parts are drawn apart, so a seam may show; adding the step's noise again and
repeating the step, a few times, makes them consistent. `with_known_region` changes the denoiser instead: its x0_hat
is exact in the known part, and every sampler works, a fast one too.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from .forward import posterior, standard_normal_like, transition
from .prediction import Denoise, Prediction
from .sampler import Noise, Step
from .schedule import Schedule, Times


@torch.no_grad()
def inpaint(
    denoise: Denoise,
    x: Float[Tensor, "b *rest"],
    times: Times,
    known: Float[Tensor, "b *rest"],
    mask: Float[Tensor, "*shape"],
    *,
    repeats: int = 1,
    noise: Noise = standard_normal_like,
) -> Iterator[Step]:
    r"""Samples as `ddpm` does where `mask` is 1; where it is 0, the result is `known`. Runs under `torch.no_grad`.

    mask broadcasts against x. With `repeats` > 1 each step's noise is added again and the step repeated, which makes
    the two parts consistent.
    """
    for i in range(len(times.t) - 1):
        alpha, sigma = times.alpha[i : i + 2], times.sigma[i : i + 2]
        for repeat in range(repeats):
            x0_hat = denoise(x, times.t[i]).x0
            mean, var = posterior(x, x0_hat, alpha, sigma)
            drawn = mean + var.sqrt() * noise(x)
            x_s = mask * drawn + (1 - mask) * (alpha[1] * known + sigma[1] * noise(x))
            if repeat < repeats - 1:
                factor, var_ts = transition(alpha, sigma)
                x = factor * x_s + var_ts.sqrt() * noise(x)
        x = x_s
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


def with_known_region(
    denoise: Denoise, schedule: Schedule, known: Float[Tensor, "b *rest"], mask: Float[Tensor, "*shape"]
) -> Denoise:
    r"""The same denoiser, but where `mask` is 0 it predicts x_0 = known, and the eps that gives x_t with it.

    There every sampler ends on `known`; the rest is denoised beside it, at the right noise level. mask broadcasts
    against x_t.
    """

    def denoise_unknown(x_t: Tensor, t: Tensor) -> Prediction:
        x0, eps, nu = denoise(x_t, t)
        alpha, sigma = schedule.alpha[t].to(x_t), schedule.sigma[t].to(x_t)
        true_eps = (x_t - alpha * known) / sigma
        return Prediction(x0=mask * x0 + (1 - mask) * known, eps=mask * eps + (1 - mask) * true_eps, nu=nu)

    return denoise_unknown
