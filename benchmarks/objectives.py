r"""Which schedule, which prediction, which weighting? The U-Net of the picture book, trained briefly with each.

    python benchmarks/objectives.py                    # all choices; about an hour on one core
    python benchmarks/objectives.py --only flow        # those whose name contains "flow"

Everything but the choice is equal: network, optimiser, seed, pictures, steps, sampler. The losses of different choices
are in different units and cannot be compared, so the shipped judge reads what the networks draw, as in `minidiffusion
evaluate`. After so few steps no network is good; what is compared is how fast it learns. The rows go to
results/objectives.csv.
"""

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.checkpoint import load_model
from minidiffusion.evaluation.evaluate import obedience, read
from minidiffusion.evaluation.metrics import wilson_interval
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.evaluation.questions import draw_prompts, exam_rng
from minidiffusion.pretrained.weights import find_weights
from minidiffusion.evaluation.judge import Judge, JudgeConfig
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.training.loop import train
from minidiffusion.training.recipes import TASKS, UNetTraining

CHOICES = {  # schedule, prediction, weighting
    "cosine, v, simple": "shipped",
    "cosine, v, min_snr": "Hang et al. 2023",
    "cosine, v, snr": "counts errors as a network that predicts eps does",
    "cosine, x0, simple": "",
    "sigmoid, v, simple": "",
    "linear, eps, simple": "DDPM",
    "scaled_linear, eps, simple": "Stable Diffusion 1.5",
    "scaled_linear, v, simple": "",
    "flow, velocity, simple": "flow matching, as in Stable Diffusion 3",
}


def trained(choice: str, steps: int, pages: PictureBook, folder: Path) -> float:
    r"""Trains the U-Net in a folder that holds the shipped VAE, CLIP and tokenizer; the seconds that it took."""
    schedule, prediction, weighting = choice.split(", ")
    training = replace(UNetTraining(), schedule=schedule, prediction=prediction, weighting=weighting)
    training = replace(
        training, recipe=replace(training.recipe, steps=steps, warmup=min(50, steps), ema=0.99, sheet_every=0)
    )
    task = TASKS[UNetTraining](training, pages, folder)
    start = time.perf_counter()
    for _ in train(task, training.recipe, folder / "training"):
        pass
    return time.perf_counter() - start


@torch.no_grad()
def asked(folder: Path, judge: Judge, n: int) -> dict:
    r"""n prompts about combinations seen in training: attribute -> Share of those that the judge found."""
    model, prompts = TextToImage.load(folder), draw_prompts(n, exam_rng(1), "seen")
    answers = []
    for i in range(0, n, 16):
        some = [prompt.text for prompt in prompts[i : i + 16]]
        answers.append(read(judge, model.generate(some, [*range(i, i + len(some))], 25, 2.5, sampler="dpm++")))
    return obedience(prompts, torch.cat(answers))["seen"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="those choices whose name contains this")
    parser.add_argument("--steps", type=int, default=500, help="of 96 pictures each")
    parser.add_argument("--pages", type=int, default=6000, help="of the picture book to train on")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shipped, pages, rows = find_weights("picturebook"), PictureBook(options.pages), []
    judge = load_model(shipped, "judge", JudgeConfig, Judge)
    for choice in [name for name in CHOICES if options.only in name]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in ("vae.json", "vae.safetensors", "clip.json", "clip.safetensors", "tokenizer.json"):
                shutil.copy(shipped / name, folder)
            seconds = trained(choice, options.steps, pages, folder)
            found = asked(folder, judge, options.prompts)
        case = dict(zip(("schedule", "prediction", "weighting"), choice.split(", "), strict=True))
        case |= {"sampler": "dpm++", "calls": 25}
        rows.append(Row("objectives", case, "training", seconds, "s"))
        for what in ("subject", "colour", "place", "all at once"):
            share = found[what]
            low, high = wilson_interval(share.right, share.n)
            rows.append(Row("objectives", case, f"{what} right", share.right / share.n, "share", low, high))
        figures = "  ".join(f"{row.metric} {row.value:.1%}" for row in rows[-4:])
        print(f"{choice:28} {seconds:5.0f} s  {figures}", flush=True)
        write_csv(RESULTS / "objectives.csv", rows)


if __name__ == "__main__":
    main()
