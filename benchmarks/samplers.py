r"""Which sampler, and how many calls of the network?

    python benchmarks/samplers.py                              # both parts; about ten minutes on one core
    python benchmarks/samplers.py --only toy                   # about a minute
    python benchmarks/samplers.py --only pictures --prompts 96

On toy data the ideal denoiser is known, so that all error is the sampler's. "order" follows the probability-flow ODE
over its smooth part: the slope of the error over the calls is the order of the method. "law" samples from T to 0, as
for pictures, and compares 10,000 samples with 10,000 exact ones; this works for samplers that draw noise as well. With
pictures, the shipped model draws prompts and the shipped judge classifies the pictures, as in `evaluate`.

Calls are counted, not steps: Heun's method makes two a step. The rows go to results/samplers.csv, the plot beside it.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.data.toy import two_gaussians
from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.sampler import SAMPLERS, SamplerName
from minidiffusion.diffusion.schedule import Times, make_schedule
from minidiffusion.evaluation.evaluate import prompt_accuracy
from minidiffusion.evaluation.exam_prompts import draw_prompts, exam_rng
from minidiffusion.evaluation.judge import load_judge, read_attributes
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.viz.samplers import STYLES, against_calls

TOY_CALLS = (8, 16, 32, 64, 128, 256, 512)
PICTURE_CALLS = (4, 6, 8, 10, 15, 25, 50)
STOCHASTIC = ("ddpm", "euler-maruyama", "predictor-corrector")
DETERMINISTIC: tuple[SamplerName, ...] = tuple(name for name in SAMPLERS if name not in STOCHASTIC)
DIFFERENT: tuple[SamplerName, ...] = tuple(name for name in SAMPLERS if name != "euler")  # which is ddim


def steps_for(sampler: SamplerName, calls: int, times: Callable[[int], Times]) -> tuple[int, int]:
    r"""The most steps with at most n calls of the network, and the calls that they make. Found by counting."""

    def count(steps: int) -> int:
        asked = []

        def denoise(x: Tensor, t: Tensor) -> Prediction:
            asked.append(t)
            return Prediction(x, x)

        list(SAMPLERS[sampler](denoise, torch.zeros(1, 1), times(steps)))
        return len(asked)

    return next((n, made) for n in range(calls, 0, -1) if (made := count(n)) <= calls)


# ------------------------------------------------------------------------------------------------- toy: order


def order(calls: tuple[int, ...] = TOY_CALLS, draws: int = 256, reference_steps: int = 4000) -> Iterator[Row]:
    r"""The mean distance between where a sampler ends and where the ODE does, for samplers that follow it.

    From t = 0.99 T, since at T there is no signal and the first step has no order, to 0.03 T, since below it sigma of
    the cosine schedule rises like a root, and methods of order 2 lose their order. The reference is Heun's method.
    """
    mixture, schedule = two_gaussians(), make_schedule("cosine", 100_000)  # so fine that steps of any length are even
    denoise = ideal.mixture(*mixture, schedule)
    x_T = torch.randn(draws, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def times(n: int) -> Times:
        t = torch.linspace(0.99 * schedule.T, 0.03 * schedule.T, n + 1).round().long()
        return Times(t, schedule.alpha[t], schedule.sigma[t])

    def end(sampler: SamplerName, n: int) -> Float[Tensor, "n 2"]:
        *_, last = SAMPLERS[sampler](denoise, x_T, times(n))
        return last.x

    solution = end("heun", reference_steps)
    for sampler in DETERMINISTIC:
        for n, made in (steps_for(sampler, c, times) for c in calls):
            distance = (end(sampler, n) - solution).norm(dim=1).mean().item()
            case = {"part": "toy, order", "sampler": sampler, "calls": made}
            yield Row("samplers", case, "mean distance to the ODE's solution", distance, "1", dtype="float64")


def slopes(rows: list[Row], settled: int = 63) -> dict[str, float]:
    r"""By which power of the calls the error falls, for each sampler, fitted from n calls on."""
    fitted = {}
    for sampler in dict.fromkeys(row.case["sampler"] for row in rows):
        calls, errors = curve([row for row in rows if row.case["calls"] >= settled], sampler)
        fitted[sampler] = -float(np.polyfit(np.log(calls), np.log(errors), 1)[0])
    return fitted


# ------------------------------------------------------------------------------------------------- toy: law


def law(calls: tuple[int, ...] = (4, *TOY_CALLS), draws: int = 10_000, repeats: int = 3) -> Iterator[Row]:
    r"""How far the samples' distribution is from the true one, and how far exact samples are: the floor."""
    mixture, schedule, metric = two_gaussians(), make_schedule("cosine"), "sliced Wasserstein distance"
    denoise = ideal.mixture(*mixture, schedule)

    def times(n: int) -> Times:
        return schedule.times(n, dtype=torch.float64)

    def distance(sampler: SamplerName, n: int, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)

        def noise(x: Tensor) -> Tensor:
            return torch.randn(x.shape, generator=generator, dtype=x.dtype)

        exact, x_T = mixture.sample(draws, generator), noise(torch.empty(draws, 2, dtype=torch.float64))
        *_, last = SAMPLERS[sampler](denoise, x_T, times(n), noise=noise)
        return sliced_distance(last.x, exact)

    generator = torch.Generator().manual_seed(0)
    pairs = [
        sliced_distance(mixture.sample(draws, generator), mixture.sample(draws, generator)) for _ in range(10 * repeats)
    ]
    case, interval = {"part": "toy, law", "sampler": "exact samples", "calls": 0}, np.quantile(pairs, (0.025, 0.975))
    yield Row("samplers", case, metric, mean(pairs), "1", *interval, dtype="float64")
    for sampler in DIFFERENT:
        for n, made in (steps_for(sampler, c, times) for c in calls):
            found = mean(distance(sampler, n, seed) for seed in range(repeats))
            case = {"part": "toy, law", "sampler": sampler, "calls": made}
            yield Row("samplers", case, metric, found, "1", dtype="float64")


def sliced_distance(x: Float[Tensor, "n 2"], y: Float[Tensor, "n 2"], directions: int = 32) -> float:
    r"""How far mass must be moved to turn x into y, seen along lines, on average over directions (Wasserstein-1).

    On a line the best plan moves the smallest to the smallest, and so on.
    """
    angle = torch.arange(directions, dtype=x.dtype) * math.pi / directions
    lines = torch.stack([angle.cos(), angle.sin()])
    return ((x @ lines).sort(dim=0).values - (y @ lines).sort(dim=0).values).abs().mean().item()


# ------------------------------------------------------------------------------------------------- pictures


@torch.inference_mode()
def pictures(prompts: int, calls: tuple[int, ...] = PICTURE_CALLS, batch: int = 16, many: int = 150) -> Iterator[Row]:
    r"""The share of prompts all of whose attributes the judge finds in the picture.

    For samplers that follow the ODE also the distance of the picture from that of `many` calls.
    """
    model, judge = TextToImage.load("picturebook"), load_judge("picturebook")
    exam = draw_prompts(prompts, exam_rng(0), "seen")

    def draw(sampler: SamplerName, n: int) -> Float[Tensor, "n 3 64 64"]:
        texts = [prompt.text for prompt in exam]
        parts = (range(i, min(i + batch, prompts)) for i in range(0, prompts, batch))
        return torch.cat([model.generate(texts[p.start : p.stop], p, steps=n, sampler=sampler) for p in parts])

    solution = draw("dpm++", many)
    for sampler in DIFFERENT:
        for n, made in (steps_for(sampler, c, model.schedule.times) for c in calls):
            drawn = draw(sampler, n)
            found = torch.cat([read_attributes(judge, x) for x in drawn.split(batch)])
            case = {"part": "pictures", "sampler": sampler, "calls": made}
            share = prompt_accuracy(exam, found)["seen"]["all at once"]
            yield Row("samplers", case, "all attributes right", share.right / share.n, "share", *share.interval)
            if sampler in DETERMINISTIC:
                difference = (drawn - solution).square().flatten(1).mean(1).sqrt().mean().item()
                yield Row("samplers", case, "RMS difference from many calls", difference, "1 (pixels are -1 to 1)")


# ------------------------------------------------------------------------------------------------- the plot


def plot(rows: list[Row], path: Path) -> None:
    r"""Toy data left, pictures right; a part that was not measured has no column."""
    columns = (("toy, order", plot_order), ("toy, law", plot_law)), (("RMS", plot_difference), ("all", plot_accuracy))

    def of(key: str) -> list[Row]:
        return [row for row in rows if row.case["part"] == key or row.metric.startswith(key)]

    chosen = [[(panel, of(key)) for key, panel in column] for column in columns]
    measured = [column for column in chosen if column[0][1]]
    figure, axes = plt.subplots(2, len(measured), figsize=(5 * len(measured), 8), squeeze=False, layout="constrained")
    for column, drawn in zip(axes.T, measured, strict=True):
        for ax, (panel, found) in zip(column, drawn, strict=True):
            panel(ax, found)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot_order(ax: Axes, rows: list[Row]) -> None:
    names = {name: f"{name}: slope {slope:.2f}" for name, slope in slopes(rows).items() if name != "euler"}
    curves = {label: curve(rows, name) for name, label in names.items()}
    against_calls(ax, curves, rows[0].metric, {"ddim": 1, "plms": 2})
    ax.set_title("two modes: following the ODE", fontsize=10)


def plot_law(ax: Axes, rows: list[Row]) -> None:
    floor, *rows = rows
    ax.axhspan(floor.low, floor.high, color="grey", alpha=0.2, linewidth=0, label="exact samples")
    against_calls(ax, {name: curve(rows, name) for name in DIFFERENT}, floor.metric, {})
    ax.set_title("two modes: the cloud of 10,000 samples", fontsize=10)


def plot_difference(ax: Axes, rows: list[Row]) -> None:
    against_calls(ax, {name: curve(rows, name) for name in DETERMINISTIC if name != "euler"}, rows[0].metric, {})
    ax.set_title("pictures: following the ODE", fontsize=10)


def plot_accuracy(ax: Axes, rows: list[Row]) -> None:
    against_calls(ax, {name: curve(rows, name) for name in DIFFERENT}, "share of prompts, with 95 % intervals", {})
    for row in rows:
        color, _ = STYLES[row.case["sampler"]]
        ax.plot([row.case["calls"]] * 2, [row.low, row.high], color=color, linewidth=0.8, alpha=0.6)
    ax.set_yscale("linear")
    ax.set_title("pictures: all attributes of the prompt there?", fontsize=10)


def curve(rows: list[Row], sampler: str) -> tuple[list[int], list[float]]:
    points = [(row.case["calls"], row.value) for row in rows if row.case["sampler"] == sampler]
    return [calls for calls, _ in points], [value for _, value in points]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("toy", "pictures"), help="one of the two parts; by default both")
    parser.add_argument("--prompts", type=int, default=128, help="prompts for each point of the curves")
    settings = parser.parse_args()
    rows: list[Row] = []
    for part, measured in (("toy", order()), ("toy", law()), ("pictures", pictures(settings.prompts))):
        if settings.only in (None, part):
            for row in measured:
                print(*row.case.values(), f"calls: {row.metric} {row.value:.4g}", flush=True)
                rows.append(row)
    for sampler, slope in slopes([row for row in rows if row.case["part"] == "toy, order"]).items():
        print(f"the error of {sampler} falls with the power {slope:.2f} of the calls")
    write_csv(RESULTS / "samplers.csv", rows)
    plot(rows, RESULTS / "samplers.png")


if __name__ == "__main__":
    main()
