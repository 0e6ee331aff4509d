r"""A sampler of your own, compared with others and plugged into the pipeline: Adams-Bashforth of order 2.

In k = sigma / alpha the probability-flow ODE is d(x / alpha)/dk = eps_hat; the slope is extrapolated from two steps.
"""

import torch

from minidiffusion import SAMPLERS, Step, TextToImage, make_schedule
from minidiffusion.data import two_gaussians
from minidiffusion.diffusion import ideal
from minidiffusion.images.grid import grid


@torch.no_grad()
def adams_bashforth(denoise, x, times, *, noise=None):
    k, before = times.sigma / times.alpha, None
    for i in range(len(times.t) - 1):
        x0_hat, eps, _ = denoise(x, times.t[i])
        slope = eps if before is None else eps + (k[i + 1] - k[i]) / (k[i] - k[i - 1]) / 2 * (eps - before)
        if times.alpha[i] > 0:  # without signal, x0_hat is all there is
            x0_hat = (x - times.sigma[i] * slope) / times.alpha[i]
        x, before = times.alpha[i + 1] * x0_hat + times.sigma[i + 1] * slope, eps
        yield Step(i, int(times.t[i + 1]), x, x0_hat)


SAMPLERS["adams-bashforth"] = adams_bashforth

schedule = make_schedule("linear")
denoise = ideal.mixture(*two_gaussians(), schedule)  # known exactly, so every error is the sampler's
x_T = torch.randn(1000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
*_, exact = SAMPLERS["heun"](denoise, x_T, schedule.times(1000, dtype=torch.float64))
for name in ("ddim", "dpm++", "adams-bashforth"):
    for n in (10, 20, 40):
        *_, last = SAMPLERS[name](denoise, x_T, schedule.times(n, dtype=torch.float64))
        print(f"{name:16} {n} steps   error {(last.x - exact.x).square().mean().sqrt():.4f}")

pictures = TextToImage.load().imagine("a blue boat at sunset", sampler="adams-bashforth")
grid([picture.image for picture in pictures]).save("boats.png")
