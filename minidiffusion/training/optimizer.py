r"""The optimizers, AdamW for vectors and Muon for matrices, and the schedule of the learning rate.

The gradient of a weight matrix is nearly of low rank: a few singular values are large, many are small, and a step along
it moves the weights in a few directions only. Muon (Jordan et al. 2024) replaces the matrix G = U S V^T by U V^T, whose
singular values are all equal. What captions mention rarely (which *subject* is it?) is learnt much sooner.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Optimizers = list[torch.optim.Optimizer]


def orthogonalise(G: Float[Tensor, "*b m n"], steps: int = 5) -> Float[Tensor, "*b m n"]:
    r"""Roughly U V^T of G = U S V^T: every singular value is brought near 1, between 0.7 and 1.2.

    A step applies p(s) = a s + b s^3 + c s^5 to every singular value at once, by matrix products only (a Newton-Schulz
    iteration). The coefficients are Jordan's: p rises steeply from 0 and then wobbles about 1, instead of converging
    slowly. In bfloat16, since the result need not be exact.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = G.shape[-2] > G.shape[-1]
    X = (G.mT if tall else G).bfloat16()
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # now no singular value is above 1
    for _ in range(steps):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return (X.mT if tall else X).to(G.dtype)


class Muon(torch.optim.Optimizer):
    r"""Momentum, orthogonalised (Jordan et al. 2024), with decoupled weight decay.

        M = 0.95 M + 0.05 G,      W = (1 - lr decay) W - lr sqrt(max(1, m/n)) orthogonalise(0.95 M + 0.05 G)

    for a weight W of m outputs and n inputs; a convolution kernel counts every pixel of its window as an input.
    Matrices of one shape are orthogonalised as one batch.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay=0.0):
        alike = defaultdict(list)
        for parameter in parameters:
            alike[parameter.flatten(1).shape].append(parameter)
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([{"params": group} for group in alike.values()], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            lr, decay = group["lr"], 1 - group["momentum"]
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            updates = []
            for parameter in moved:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, decay)
                updates.append(state["momentum"].lerp(parameter.grad, decay).flatten(1))
            if not updates:
                continue
            m, n = updates[0].shape
            for parameter, update in zip(moved, orthogonalise(torch.stack(updates)), strict=True):
                parameter.mul_(1 - lr * group["weight_decay"])
                parameter.sub_(update.reshape(parameter.shape), alpha=lr * math.sqrt(max(1, m / n)))


def make_optimizers(model: nn.Module, lr: float, muon: float, weight_decay: float) -> Optimizers:
    r"""AdamW (Loshchilov & Hutter 2019), and, if `muon` > 0, Muon for the hidden matrices and kernels.

    Hidden are all layers but the first, the last and embeddings. Weight decay applies to matrices and kernels only:
    shrinking a norm's gain, a bias or an embedding row that no caption of this batch used changes the function without
    simplifying it. Each group of parameters keeps its `peak`, the highest learning rate.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    hidden, decayed, free = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2 or id(parameter) in embeddings:
            free.append(parameter)
        elif muon and not name.startswith(("conv_in.", "conv_out.", "head.")):
            hidden.append(parameter)
        else:
            decayed.append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimizers: Optimizers = [torch.optim.AdamW([g for g in groups if g["params"]], lr, fused=True)]
    if hidden:
        optimizers.append(Muon(hidden, muon, weight_decay=weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    r"""The learning rate at `step` (from 0), over its peak: a linear warm-up to 1, then half a cosine to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
