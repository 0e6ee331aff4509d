r"""The likelihood of x_0 itself, not a bound on it: the probability-flow ODE (Song et al. 2021b, section 4.3).

The ODE that turns noise into data is invertible, so log p follows from the change-of-variables formula. In the angle
theta = arctan(sigma / alpha), from 0 (data) to pi / 2 (noise), and for u = x / sqrt(alpha^2 + sigma^2), it is not
singular at either end:

    du/dtheta = v(u, theta) = cos(theta) eps_hat - sin(theta) x0_hat
    log p(x_0) = log N(u_T; 0, I) + integral of div v dtheta
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .prediction import Denoise
from .schedule import Schedule


def log_likelihood(
    denoise: Denoise,
    schedule: Schedule,
    x_0: Float[Tensor, "b *rest"],
    *,
    steps: int | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b"]:
    r"""log p(x_0) in nats for each sample, by Heun's method on `steps` of the schedule's T steps (all by default).

    probes: None computes the divergence exactly, with one backward pass a dimension; a number estimates it from that
    many random directions (Hutchinson's estimator), without bias.
    """
    times = schedule.times(steps or schedule.T, dtype=torch.float64)
    ts, theta = times.t.flip(0), torch.atan2(times.sigma, times.alpha).flip(0)
    radius = torch.hypot(times.alpha, times.sigma).flip(0)
    signs = None
    if probes is not None:  # the same directions at all times, so that the integrand is smooth
        signs = torch.randint(0, 2, (probes, *x_0.shape), generator=generator, device=x_0.device).to(x_0) * 2 - 1

    def flow(u: Tensor, i: int) -> tuple[Tensor, Tensor]:
        if i == 0:  # clean data does not determine the noise: eps_hat = E[eps] = 0
            return torch.zeros_like(u), u.new_zeros(len(u))
        cos, sin = theta[i].cos().to(u), theta[i].sin().to(u)

        def v(u: Tensor) -> Tensor:
            x0_hat, eps_hat, _ = denoise(u * radius[i].to(u), ts[i])
            return cos * eps_hat - sin * x0_hat

        return divergence(v, u, signs)

    u, log_p = x_0, x_0.new_zeros(len(x_0))
    for i, h in enumerate(theta.diff().tolist()):
        v, div = flow(u, i)
        v_next, div_next = flow(u + h * v, i + 1)
        u = u + h / 2 * (v + v_next)
        log_p = log_p + h / 2 * (div + div_next)
    return log_p - 0.5 * (u.square() + math.log(2 * math.pi)).flatten(1).sum(dim=1)


@torch.enable_grad()
def divergence(
    field: Callable[[Tensor], Tensor], u: Float[Tensor, "b *rest"], signs: Float[Tensor, "p b *rest"] | None
) -> tuple[Float[Tensor, "b *rest"], Float[Tensor, "b"]]:
    r"""(field(u), its divergence at each sample): the trace of the Jacobian, or the mean of signs^T Jacobian signs."""
    u = u.detach().requires_grad_()
    value = field(u)
    if signs is None:
        directions = torch.eye(u[0].numel(), dtype=u.dtype, device=u.device).reshape(-1, 1, *u.shape[1:])
    else:
        directions = signs / math.sqrt(len(signs))
    div = u.new_zeros(len(u))
    for direction in directions:
        direction = direction.expand_as(u)
        (row,) = torch.autograd.grad(value, u, direction, retain_graph=True)
        div += (row * direction).flatten(1).sum(dim=1)
    return value.detach(), div
