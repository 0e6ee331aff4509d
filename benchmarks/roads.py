r"""Diffusion or tokens: accuracy, Fréchet distance, diversity and speed of both pipelines.

    python benchmarks/roads.py                                       # with the shipped weights
    python benchmarks/roads.py --diffusion FOLDER --tokens FOLDER    # with others
    python benchmarks/roads.py --prompts 64 --real 256               # faster, with wider intervals

Both models were trained on the same pages and captions; here they draw the same prompts with the same seeds, and the
judge beside the diffusion weights classifies the pictures. Diffusion can take more steps, the token pipeline more
drafts. For reference there are real pages that the prompts describe, as they are and reconstructed by the autoencoder
of each pipeline: no model that ends in this decoder can be better.

A call of the U-Net and a call of the transformer, which reads one token, are not the same work; hence the seconds. The
rows go to results/roads.csv, the plot beside it.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor
from tqdm import tqdm

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.evaluation.evaluate import VARIATIONS, prompt_accuracy
from minidiffusion.evaluation.exam_prompts import ExamPrompt, companion, draw_prompts, exam_rng, renders
from minidiffusion.evaluation.judge import Judge, load_judge, read_attributes
from minidiffusion.evaluation.metrics import diversity, frechet_distance
from minidiffusion.picturebook.scene import random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings
from minidiffusion.viz.base import BLUE, VERMILION

Pictures = Float[Tensor, "b 3 64 64"]
STEPS = (4, 8, 15, 25)
DRAFTS = (1, 2, 4, 8)
BATCH = 16
STYLES = {"diffusion": (BLUE, "o"), "tokens": (VERMILION, "s")}
REFERENCES = {
    "real": ("#444444", "--"),
    "real, through the VAE": (BLUE, ":"),
    "real, through the codebook": (VERMILION, ":"),
}
ALL, FRECHET, DIVERSITY, SECONDS = "all right", "Fréchet distance", "distance in a grid", "seconds a grid"


@dataclass(frozen=True)
class Contender:
    r"""draw: prompts and a seed for each -> pictures. calls: of its network, for one picture.

    Guidance, which doubles the calls of both, is not counted.
    """

    road: str
    setting: str
    calls: int
    draw: Callable[[Sequence[ExamPrompt], Sequence[int]], Pictures]


def contenders(diffusion: TextToImage, tokens: TokenPipeline) -> Iterator[Contender]:
    for steps in STEPS:

        def draw(prompts: Sequence[ExamPrompt], seeds: Sequence[int], steps: int = steps) -> Pictures:
            return diffusion.generate([prompt.text for prompt in prompts], seeds, steps=steps)

        yield Contender("diffusion", f"steps {steps}", steps, draw)

    for drafts in DRAFTS:

        def write(prompts: Sequence[ExamPrompt], seeds: Sequence[int], drafts: int = drafts) -> Pictures:
            return tokens.generate([prompt.text for prompt in prompts], seeds, TokenSamplingSettings(drafts=drafts))

        yield Contender("tokens", f"drafts {drafts}", drafts * tokens.transformer.config.places, write)

    def real(prompts: Sequence[ExamPrompt], seeds: Sequence[int]) -> Pictures:
        rngs = [exam_rng(1000 + seed) for seed in seeds]  # other scenes than the exam's own
        return renders([companion(prompt, rng) for prompt, rng in zip(prompts, rngs, strict=True)])

    def through_vae(prompts: Sequence[ExamPrompt], seeds: Sequence[int]) -> Pictures:
        return diffusion.decode(diffusion.encode(real(prompts, seeds)))

    def through_codebook(prompts: Sequence[ExamPrompt], seeds: Sequence[int]) -> Pictures:
        return tokens.decode(tokens.codebook.encode(real(prompts, seeds)).flatten(1))

    yield Contender("real", "pages", 0, real)
    yield Contender("real, through the VAE", "pages", 0, through_vae)
    yield Contender("real, through the codebook", "pages", 0, through_codebook)


class Exam:
    r"""The prompts, the same for all contenders, and the judge that classifies their pictures."""

    def __init__(self, judge: Judge, prompts: int, real: int):
        rng, self.judge = exam_rng(2), judge
        self.seen, self.held_out = (draw_prompts(prompts, rng, split) for split in ("seen", "held_out"))
        diverse = draw_prompts(max(2, prompts // VARIATIONS), rng, "seen")
        self.repeated = [prompt for prompt in diverse for _ in range(VARIATIONS)]
        self.reference = self.features(renders([random_scene(rng, "seen") for _ in range(real)]))

    @torch.no_grad()
    def features(self, pictures: Pictures) -> Float[Tensor, "n d"]:
        return torch.cat([self.judge.features(part) for part in pictures.split(BATCH)])

    @torch.no_grad()
    def drawn(self, contender: Contender, prompts: list[ExamPrompt]) -> Pictures:
        starts = tqdm(range(0, len(prompts), BATCH), f"{contender.road} {contender.setting}", leave=False)
        seeds = [*range(len(prompts))]
        return torch.cat([contender.draw(prompts[i : i + BATCH], seeds[i : i + BATCH]) for i in starts])

    def examine(self, contender: Contender) -> Iterator[Row]:
        case = {"road": contender.road, "setting": contender.setting, "calls": contender.calls}
        seen, held_out = self.drawn(contender, self.seen), self.drawn(contender, self.held_out)
        with torch.no_grad():
            found = torch.cat([read_attributes(self.judge, part) for part in torch.cat([seen, held_out]).split(BATCH)])
        shares = prompt_accuracy(self.seen + self.held_out, found)
        for split in ("seen", "held out"):
            for name, metric in (("all at once", ALL), ("every single", "attributes right")):
                share = shares[split][name]
                yield Row("roads", case, f"{metric}, {split}", share.right / share.n, "share", *share.interval)
        yield Row("roads", case, FRECHET, frechet_distance(self.features(seen), self.reference), "features^2")
        varied = self.features(self.drawn(contender, self.repeated))
        yield Row("roads", case, DIVERSITY, diversity(varied, VARIATIONS), "features")
        if contender.calls:
            yield self.timed(contender, case)

    def timed(self, contender: Contender, case: dict[str, object], times: int = 5) -> Row:
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            contender.draw(self.repeated[:VARIATIONS], range(VARIATIONS))
            seconds.append(time.perf_counter() - start)
        low, median, high = np.percentile(seconds, (5, 50, 95))
        return Row("roads", case, SECONDS, median, "s", low, high)


# ------------------------------------------------------------------------------------------------------------- the plot


def plot(rows: list[Row], path: Path) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    panel(axes[0, 0], rows, [f"{ALL}, seen", f"{ALL}, held out"], "share of prompts, with 95 % intervals")
    axes[0, 0].set_title("all that the prompt says (open: never seen)", fontsize=10)
    panel(axes[0, 1], rows, [FRECHET], "Fréchet distance to real pages, in judge features")
    panel(axes[1, 0], rows, [DIVERSITY], "distance of two pictures of one prompt, in judge features")
    for road, (color, marker) in STYLES.items():
        calls, seconds = zip(*((row.case["calls"], row.value) for row in of(rows, road, SECONDS)), strict=True)
        axes[1, 1].plot(calls, seconds, color=color, marker=marker, label=road)
    axes[1, 1].set(xscale="log", yscale="log", xlabel="calls of the network for a picture", ylabel=SECONDS)
    for ax in axes.flat:
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def panel(ax: Axes, rows: list[Row], metrics: list[str], label: str) -> None:
    r"""A metric against the seconds; of two metrics, the second is drawn open, and has no references."""
    for road, (color, marker) in STYLES.items():
        seconds = [row.value for row in of(rows, road, SECONDS)]
        for metric, fill in zip(metrics, ("full", "none"), strict=False):
            points = of(rows, road, metric)
            y = [row.value for row in points]
            ax.plot(seconds, y, color=color, marker=marker, fillstyle=fill, label=road if fill == "full" else None)
            ax.vlines(seconds, [row.low for row in points], [row.high for row in points], color=color, linewidth=0.8)
            for x, row in zip(seconds, points, strict=True):
                if fill == "full":
                    ax.annotate(row.case["setting"], (x, row.value), (4, 4), textcoords="offset points", fontsize=7)
    for road, (color, dashes) in REFERENCES.items():
        ax.axhline(of(rows, road, metrics[0])[0].value, color=color, linestyle=dashes, linewidth=1, label=road)
    ax.set(xscale="log", xlabel=SECONDS, ylabel=label)


def of(rows: list[Row], road: str, metric: str) -> list[Row]:
    return [row for row in rows if row.case["road"] == road and row.metric == metric]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--diffusion", default="picturebook", help="weights of the U-Net, and of the judge")
    parser.add_argument("--tokens", default="picturebook", help="weights of the transformer")
    parser.add_argument("--prompts", type=int, default=256, help="of seen and of held-out combinations, each")
    parser.add_argument("--real", type=int, default=2048, help="pages to measure the Fréchet distance to")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    exam, rows = Exam(load_judge(options.diffusion), options.prompts, options.real), []
    for contender in contenders(TextToImage.load(options.diffusion), TokenPipeline.load(options.tokens)):
        for row in exam.examine(contender):
            print(*row.case.values(), f"calls: {row.metric} {row.value:.4g}", flush=True)
            rows.append(row)
        write_csv(options.out / "roads.csv", rows)
    plot(rows, options.out / "roads.png")


if __name__ == "__main__":
    main()
