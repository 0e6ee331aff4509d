r"""Random numbers in *every* tensor of a module.

Fresh norms are 1 and 0 and fresh biases often 0: with them a wrong epsilon or a forgotten bias cannot be seen.
"""

import torch
from torch import nn


@torch.no_grad()
def shake(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 4  # keep the signal's size from layer to layer
        parameter.copy_(noise / fan_in**0.5)
    return module.eval()


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()
