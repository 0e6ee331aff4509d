r"""Which schedule, which prediction, which weighting? The U-Net of the picture book, trained briefly with each.

    python benchmarks/objectives.py                    # all choices; about an hour on one core
    python benchmarks/objectives.py --only flow        # those whose name contains "flow"

Everything but the choice is equal: network, optimizer, seed, pictures, steps, sampler. The losses of different choices
are in different units and cannot be compared, so the shipped judge classifies what the networks draw, as in
`minidiffusion evaluate`. After so few steps no network is good; what is compared is how fast it learns. The rows go to
results/objectives.csv.
"""

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.evaluation.evaluate import prompt_accuracy
from minidiffusion.evaluation.exam_prompts import draw_prompts, exam_rng
from minidiffusion.evaluation.judge import Judge, load_judge, read_attributes
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained.weights import find_weights
from minidiffusion.training.loop import train
from minidiffusion.training.unet import UNetTask, UNetTraining

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


def fields(choice: str) -> dict[str, Any]:
    return dict(zip(("schedule", "prediction", "weighting"), choice.split(", "), strict=True))


def trained(choice: str, steps: int, pages: PictureBook, folder: Path) -> float:
    r"""Trains the U-Net in a folder that holds the shipped VAE, CLIP and tokenizer; the seconds that it took."""
    recipe = replace(UNetTraining().recipe, steps=steps, warmup=min(50, steps), ema=0.99, sheet_every=0)
    task = UNetTask(UNetTraining(recipe, **fields(choice)), pages, folder)
    start = time.perf_counter()
    for _ in train(task, recipe, folder / "training"):
        pass
    return time.perf_counter() - start


@torch.no_grad()
def accuracy(folder: Path, judge: Judge, n: int) -> dict:
    r"""n prompts with combinations seen in training: attribute -> Share that is drawn as the prompt says."""
    model, prompts = TextToImage.load(folder), draw_prompts(n, exam_rng(1), "seen")
    settings, found = SamplingSettings(steps=25, guidance=2.5, sampler="dpm++"), []
    for i in range(0, n, 16):
        some = [prompt.text for prompt in prompts[i : i + 16]]
        found.append(read_attributes(judge, model.generate(some, range(i, i + len(some)), settings)))
    return prompt_accuracy(prompts, torch.cat(found))["seen"]


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
    judge = load_judge()
    for choice in [name for name in CHOICES if options.only in name]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in ("vae.json", "vae.safetensors", "clip.json", "clip.safetensors", "tokenizer.json"):
                shutil.copy(shipped / name, folder)
            seconds = trained(choice, options.steps, pages, folder)
            found = accuracy(folder, judge, options.prompts)
        case = fields(choice) | {"sampler": "dpm++", "calls": 25}
        rows.append(Row("objectives", case, "training", seconds, "s"))
        for what in ("subject", "colour", "place", "all at once"):
            share = found[what]
            rows.append(Row("objectives", case, f"{what} right", share.right / share.n, "share", *share.interval))
        figures = "  ".join(f"{row.metric} {row.value:.1%}" for row in rows[-4:])
        print(f"{choice:28} {seconds:5.0f} s  {figures}", flush=True)
        write_csv(RESULTS / "objectives.csv", rows)


if __name__ == "__main__":
    main()
