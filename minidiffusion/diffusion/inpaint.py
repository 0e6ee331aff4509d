r"""Inpainting: filling in what is missing of a picture, by a model that was never trained to (Lugmayr et al. 2022).

What is known needs no sampling: how it looks at a noise level is known as well, alpha_s known + sigma_s noise. So each
step draws the unknown part as usual and puts the known part beside it (algorithm 1). The two parts hardly know of each
other, and a seam may show; noising the step back and taking it again, a few times, lets them settle.
"""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from .forward import posterior, standard_normal_like, transition
from .sampler import Denoise, Noise, Step
from .schedule import Times


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
