r"""How fast is GroupNorm with SiLU: by the formula, the same compiled, by PyTorch's operators, and by our kernel?

    python benchmarks/group_norm.py     # a CPU: formula against PyTorch, about a minute; a CUDA card: all four

The shapes are those of Stable Diffusion 1.5 at 512 x 512 (batch 2: with and without the prompt): on the way down, after
two skip connections were joined on the way up, in its VAE; and those of our miniature in training. "torch" is
`F.group_norm`, then `F.silu`. The rows go to results/group_norm.csv, those of a card to results/group_norm-cuda.csv.
"""

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import bytes as model
from benchmarks.clock import here
from benchmarks.sweep import refused, sweep
from minidiffusion_kernels.backend import Backend
from minidiffusion_kernels.group_norm import group_norm, op
from minidiffusion_kernels.group_norm.layout import Layout


class GroupNorm(NamedTuple):
    of: str
    shape: tuple[int, int, int, int]
    groups: int = 32
    memory: str = "contiguous_format"

    @property
    def case(self) -> dict[str, Any]:
        return self._asdict() | {"shape": "x".join(map(str, self.shape))}

    @property
    def feasible_on_cpu(self) -> bool:
        return prod(self.shape) <= 2**22

    def inputs(self, device: str, dtype: torch.dtype) -> list[Tensor]:
        r"""x, weight, bias."""
        generator = torch.Generator().manual_seed(0)
        c = self.shape[1]
        x, *affine = (torch.randn(shape, generator=generator).to(device, dtype) for shape in (self.shape, (c,), (c,)))
        return [x.contiguous(memory_format=getattr(torch, self.memory)), *affine]

    def run(self, backend: Backend, *inputs: Tensor) -> Tensor:
        x, weight, bias = inputs
        return group_norm(x, self.groups, weight, bias, silu=True, backend=backend)

    def refusal(self, *inputs: Tensor) -> str | None:
        x, weight, bias = inputs
        return refused(x, op.OLDEST, op.obstacle(x, self.groups, weight, bias))

    def flops(self) -> None:
        return None  # some ten a number: memory is the limit on every machine

    def least(self, dtype: torch.dtype) -> model.Passes:
        return model.group_norm_least(self.shape, dtype.itemsize)

    def moved(self, dtype: torch.dtype, capability: tuple[int, int]) -> dict[str, model.Passes]:
        inputs = self.inputs("meta", dtype)
        found = {b: model.operators(lambda *x, b=b: self.run(b, *x), *inputs) for b in ("reference", "torch")}
        small = Layout.of(inputs[0], self.groups).small
        return found | {"triton": model.group_norm_asked(self.shape, dtype.itemsize, small)}


SHAPES = (
    *(GroupNorm("SD 1.5", (2, c, n, n)) for c, n in ((320, 64), (640, 32), (1280, 16), (1280, 8))),
    GroupNorm("SD 1.5", (2, 320, 64, 64), memory="channels_last"),
    *(GroupNorm("SD 1.5, joined", (2, c, n, n)) for c, n in ((960, 64), (1920, 32), (2560, 16))),
    GroupNorm("SD 1.5, VAE", (1, 128, 512, 512)),
    *(GroupNorm("miniature", (96, c, n, n)) for c, n in ((64, 8), (128, 4))),
    *(GroupNorm("miniature, VAE", (32, c, n, n), groups=16) for c, n in ((64, 16), (96, 8))),
)
REHEARSED = (
    GroupNorm("rehearsal", (1, 4, 3, 5), groups=2),
    GroupNorm("rehearsal", (1, 6, 3, 5), groups=2, memory="channels_last"),
)


if __name__ == "__main__":
    sweep("group_norm", SHAPES, here())
