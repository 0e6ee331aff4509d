r"""Inpainting: filling in what is missing of a picture, by a model that was never trained to (Lugmayr et al. 2022).

What is known needs no sampling: how it looks at a noise level is known as well, alpha_s known + sigma_s noise. So each
step draws the unknown part as usual and puts the known part beside it (`inpaint`, algorithm 1). The two parts hardly
know of each other, and a seam may show; noising the step back and taking it again, a few times, lets them settle. Or
the denoiser is told: `knowing` makes it certain of the known part, and then any sampler will do, a fast one too.
"""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.forward import posterior, standard_normal_like, transition
from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.sampler import Denoise, Noise, Step
from minidiffusion.diffusion.schedule import Schedule, Times


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
    r"""Samples where `mask` is 1, as by `ddpm`; where it is 0, the result is `known`.

    mask broadcasts against x. `repeats` > 1 noises each step back and takes it again, which makes the two parts agree.
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
    r"""The same denoiser, but where `mask` is 0 it answers x_0 = known, and the noise that explains x_t with it.

    There a deterministic sampler goes straight from its noise to `known`, and a stochastic one ends there as well. What
    is drawn elsewhere sees it on the way, at the right noise level. mask broadcasts against x_t.
    """

    def certain(x_t: Tensor, t: Tensor) -> Prediction:
        x0, eps, nu = denoise(x_t, t)
        alpha, sigma = schedule.alpha[t].to(x_t), schedule.sigma[t].to(x_t)
        true_eps = (x_t - alpha * known) / sigma
        return Prediction(x0=mask * x0 + (1 - mask) * known, eps=mask * eps + (1 - mask) * true_eps, nu=nu)

    return certain
