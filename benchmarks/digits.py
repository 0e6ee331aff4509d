r"""How many bits does a held-out digit need? The bound in its parts, for each variance of the reverse step.

    python benchmarks/digits.py                      # the shipped denoiser; about ten seconds
    python benchmarks/digits.py --weights build/digits

Every figure stands beside its yardstick: guessing (log2 17), and a histogram of each pixel, which knows where paper and
ink are but nothing of how pixels hang together. The figures are means over the 297 held-out digits, one draw of noise
a step.
"""

import argparse
import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.data.digits import GREYS, digits
from minidiffusion.diffusion.bound import bound, discretised
from minidiffusion.training.digits import SHIPPED, trained_digits


def histogram_bits(training: Float[Tensor, "n 1 8 8"], held_out: Float[Tensor, "m 1 8 8"]) -> float:
    r"""Bits per pixel if each pixel is drawn from its own histogram, every grey counted half a time too often."""

    def levels(x: Tensor) -> Tensor:
        return ((x.flatten(1) + 1) / 2 * (GREYS - 1)).round().long()

    counts = torch.nn.functional.one_hot(levels(training), GREYS).sum(0) + 0.5  # 64 pixels, 17 greys
    log2_p = (counts / counts.sum(dim=1, keepdim=True)).log2()
    return -log2_p.expand(len(held_out), -1, -1).gather(2, levels(held_out)[..., None]).mean().item()


@torch.no_grad()
def table(weights: Path) -> str:
    r"""Markdown: what each part of the bound costs, in bits for each of the 64 pixels."""
    denoise, schedule = trained_digits(weights)
    held_out, _ = digits(held_out=True)
    lines = [
        "| bits per pixel, held-out digits | prior | steps 2 to T | decoder | all |",
        "|---|---|---|---|---|",
        f"| guessing among {GREYS} greys | | | | {math.log2(GREYS):.3f} |",
        f"| a histogram of each pixel | | | | {histogram_bits(digits()[0], held_out):.3f} |",
    ]
    for variance in ("beta", "beta_tilde", "learned"):
        generator = torch.Generator().manual_seed(1)
        cost = bound(
            denoise, schedule, held_out, decoder=discretised(GREYS), variance=variance, generator=generator
        )  # the same noise for each variance
        parts = (cost.prior, cost.steps[:, 1:].sum(dim=1), cost.steps[:, 0], cost.total)
        error = cost.bits_per_dim(cost.total).std().item() / math.sqrt(len(held_out))
        figures = " | ".join(f"{cost.bits_per_dim(part).mean():.3f}" for part in parts)
        lines.append(f"| diffusion, T = {schedule.T}, variance {variance} | {figures} ± {error:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="a folder with trained digits")
    print(table(parser.parse_args().weights))
