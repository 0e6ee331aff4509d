r"""How fast is attention: by the formula, the same compiled, by PyTorch's operator, and by our kernel?

    python benchmarks/attention.py      # a CPU: formula against PyTorch, about a minute; a CUDA card: all four

The shapes are those of Stable Diffusion 1.5 at 512 x 512 (batch 2: with and without the prompt), one of Stable
Diffusion 2, whose heads are 64 wide, and of our miniature in training. "torch" is `F.scaled_dot_product_attention`. Our
kernel takes no heads of 160, and a CPU does not time what would fill its memory; their bytes are modelled all the same,
those of our kernel with the tiles of this card, or without a card with those of an A100. The rows go to
results/attention.csv, those of a card to results/attention-cuda.csv.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import bytes as model
from benchmarks.clock import here
from benchmarks.sweep import refused, sweep
from minidiffusion_kernels.attention import attention, configs, op, reference
from minidiffusion_kernels.backend import Backend


class Attention(NamedTuple):
    r"""b samples of h heads, m queries, n keys, width d."""

    of: str
    b: int
    h: int
    m: int
    n: int
    d: int

    @property
    def case(self) -> dict[str, Any]:
        return self._asdict()

    @property
    def feasible_on_cpu(self) -> bool:
        return self.b * self.h * self.m * self.n <= 2**25  # the matrix of weights, which the formula writes three times

    def inputs(self, device: str, dtype: torch.dtype) -> list[Tensor]:
        r"""As three projections leave them: `b m h d` in memory."""
        generator = torch.Generator().manual_seed(0)
        shapes = [(self.b, length, self.h, self.d) for length in (self.m, self.n, self.n)]
        return [torch.randn(shape, generator=generator).to(device, dtype).transpose(1, 2) for shape in shapes]

    def run(self, backend: Backend, *inputs: Tensor) -> Tensor:
        q, k, v = inputs
        return attention(q, k, v, backend=backend)

    def refusal(self, *inputs: Tensor) -> str | None:
        q, k, v = inputs
        return refused(q, op.OLDEST, op.obstacle(q, k, v, None))

    def flops(self) -> model.Passes:
        return model.attention_flops(*self[1:])

    def least(self, dtype: torch.dtype) -> model.Passes:
        return model.attention_least(*self[1:], dtype.itemsize)

    def moved(self, dtype: torch.dtype, capability: tuple[int, int]) -> dict[str, model.Passes]:
        found = {"reference": model.operators(reference.attention, *self.inputs("meta", dtype))}
        if self.d in op.WIDTHS and capability >= op.OLDEST:
            found["triton"] = model.attention_asked(*self[1:], dtype.itemsize, self.tiles(dtype, capability))
        return found

    def tiles(self, dtype: torch.dtype, capability: tuple[int, int]) -> dict[str, tuple[int, int]]:
        chosen = {kernel: configs.config(kernel, capability, self.d, dtype) for kernel in configs.TABLE}
        return {kernel: (tile["BLOCK_M"], tile["BLOCK_N"]) for kernel, tile in chosen.items()}


SD, WORDS = "SD 1.5", "SD 1.5, words"
SHAPES = (
    *(Attention(SD, 2, 8, n, n, d) for n, d in ((4096, 40), (1024, 80), (256, 160), (64, 160))),
    *(Attention(WORDS, 2, 8, m, 77, d) for m, d in ((4096, 40), (1024, 80), (256, 160), (64, 160))),
    Attention("SD 2", 2, 5, 4096, 4096, 64),
    Attention("miniature", 96, 4, 16, 16, 32),
    Attention("miniature, words", 96, 4, 16, 32, 32),
)
REHEARSED = (Attention("rehearsal", 1, 1, 33, 40, 16), Attention("rehearsal, too wide", 1, 1, 3, 5, 160))


if __name__ == "__main__":
    sweep("attention", SHAPES, here())
