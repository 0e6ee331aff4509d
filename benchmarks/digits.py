r"""How many bits does a held-out digit need? The bound in its parts, for each variance of the reverse step.

    python benchmarks/digits.py                      # the shipped denoiser; ten seconds; writes results/digits.csv
    python benchmarks/digits.py --weights build/digits

For comparison there are guessing (log2 17), and a histogram of each pixel, which models no dependence between pixels.
The figures are means over the 297 held-out digits, one draw of noise a step.
"""

import argparse
import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.data.digits import GREY_LEVELS, digits
from minidiffusion.diffusion.bound import discretised, variational_bound
from minidiffusion.training.digits import SHIPPED, trained_digits

PARTS = ("prior", "steps 2 to T", "decoder", "all")


def histogram_bits(training: Float[Tensor, "n 1 8 8"], held_out: Float[Tensor, "m 1 8 8"]) -> float:
    r"""Bits per pixel if each pixel is drawn from its own histogram, every grey counted half a time too often."""

    def levels(x: Tensor) -> Tensor:
        return ((x.flatten(1) + 1) / 2 * (GREY_LEVELS - 1)).round().long()

    counts = torch.nn.functional.one_hot(levels(training), GREY_LEVELS).sum(0) + 0.5  # 64 pixels, 17 grey levels
    log2_p = (counts / counts.sum(dim=1, keepdim=True)).log2()
    return -log2_p.expand(len(held_out), -1, -1).gather(2, levels(held_out)[..., None]).mean().item()


@torch.no_grad()
def rows(weights: Path) -> Iterator[Row]:
    r"""What each part of the bound costs, in bits for each of the 64 pixels."""

    def row(model: str, part: str, bits: float, error: float = math.nan) -> Row:
        interval = bits - 1.96 * error, bits + 1.96 * error
        return Row("digits", {"model": model, "part": part}, "bits per pixel", bits, "bit", *interval)

    denoise, schedule = trained_digits(weights)
    held_out, _ = digits(held_out=True)
    yield row(f"guessing among {GREY_LEVELS} grey levels", "all", math.log2(GREY_LEVELS))
    yield row("a histogram of each pixel", "all", histogram_bits(digits()[0], held_out))
    for variance in ("beta", "beta_tilde", "learned"):
        generator = torch.Generator().manual_seed(1)
        cost = variational_bound(
            denoise, schedule, held_out, decoder=discretised(GREY_LEVELS), variance=variance, generator=generator
        )  # the same noise for each variance
        model = f"diffusion, T = {schedule.T}, variance {variance}"
        parts = (cost.prior, cost.steps[:, 1:].sum(dim=1), cost.steps[:, 0], cost.total)
        for name, part in zip(PARTS, parts, strict=True):
            bits = cost.bits_per_dim(part)
            yield row(model, name, bits.mean().item(), bits.std().item() / math.sqrt(len(held_out)))


def table(rows: Iterable[Row]) -> str:
    r"""Markdown: a line for each model, a column for each part; the sum with its standard error."""
    lines = [f"| bits per pixel, held-out digits | {' | '.join(PARTS)} |", "|---" * (len(PARTS) + 1) + "|"]
    for model, found in groupby(rows, key=lambda row: row.case["model"]):
        bits = {row.case["part"]: row for row in found}
        cells = [f"| {bits[part].value:.3f}" if part in bits else "|" for part in PARTS]
        error = (bits["all"].high - bits["all"].value) / 1.96
        lines.append(f"| {model} {' '.join(cells)}{'' if math.isnan(error) else f' ± {error:.3f}'} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="a folder with trained digits")
    weights = parser.parse_args().weights
    found = [*rows(weights)]
    print(table(found))
    if weights == SHIPPED:
        write_csv(RESULTS / "digits.csv", found)


if __name__ == "__main__":
    main()
