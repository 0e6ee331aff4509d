r"""Does the model draw what the prompt says? Every figure stands beside a reference value.

    figure                                          reference
    accuracy: attributes of the prompt that are     the judge's accuracy on real renders
        drawn as it says
    Fréchet distance of generated pictures          that of real renders, and of their reconstructions
    distance to the nearest training picture        that of reconstructed real renders
    diversity of four pictures of one prompt        that of real renders which the prompt describes
    reconstruction by the autoencoder               that of its worst style

The autoencoder is the VAE of the diffusion model, or the codebook of the token pipeline.

The real renders were part of no training, and the judge was not trained on prompts or generated pictures.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from minidiffusion.checkpoint import CheckpointError, write_atomically
from minidiffusion.diffusion.sampler import SamplerName
from minidiffusion.errors import UserError
from minidiffusion.images.pixels import psnr
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES, STYLES, Scene, random_scene
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings

from .contact_sheet import contact_sheet
from .exam_prompts import ExamPrompt, companion, draw_prompts, exam_rng, renders
from .judge import Judge, load_judge, read_attributes
from .metrics import diversity, frechet_distance, nearest_distance
from .report import Neighbours, Report, Share

Pictures = Float[Tensor, "b 3 64 64"]
VARIATIONS = 4
"""Pictures of one prompt, both in a grid and to measure diversity."""


@dataclass(frozen=True)
class EvaluateConfig:
    r"""What is evaluated and how thoroughly; by default with 1,300 pictures. Raises UserError for numbers too small."""

    prompts: int = 512
    """Prompts with combinations of subject and colour that are in the training pictures."""
    held_out_prompts: int = 512
    """Prompts with combinations that are in no training picture."""
    diverse_prompts: int = 64
    """Prompts of which four pictures each are drawn, to measure diversity."""
    real: int = 2048
    """Real renders, of seen and of held-out combinations each, for the judge and the VAE."""
    training: int = 60_000
    """Training pictures (the first pages of picture book 0) that are searched for copies."""
    language: Literal["en", "zh", "both"] = "both"
    """Language of the prompts; "both" alternates."""
    model: Literal["diffusion", "tokens"] = "diffusion"
    steps: int = 25
    """Of diffusion, as is the sampler."""
    sampler: SamplerName = "dpm++"
    drafts: int = 1
    """Of tokens: how many are sampled for each picture; CLIP chooses one."""
    guidance: float | None = None
    """None is what suits the weights."""
    batch: int = 16
    seed: int = 0
    weights: str = "picturebook"
    """Name of shipped weights, or a folder."""
    out: Path | None = None
    """Write the report to this file, as JSON."""
    sheet: Path | None = None
    """Draw a contact sheet of 48 prompts to this PNG file first."""

    def __post_init__(self) -> None:
        for name in ("prompts", "held_out_prompts", "diverse_prompts", "real", "training"):
            if getattr(self, name) < 2:
                raise UserError(f"{name} must be at least 2, got {getattr(self, name)}.")
        if self.batch < 1:
            raise UserError(f"batch must be at least 1, got {self.batch}.")
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, got {self.seed}.")


@dataclass(frozen=True)
class Examinee:
    r"""What is evaluated, as functions, so that tests can evaluate something else than a model."""

    generate: Callable[[list[str], list[int]], Pictures]
    """prompts, one seed each -> pictures"""
    reconstruct: Callable[[Pictures], Pictures]
    """pictures, encoded and decoded by the autoencoder"""
    judge: Judge
    how: str = ""
    """in words, how it draws"""

    @classmethod
    def load(cls, config: EvaluateConfig) -> "Examinee":
        r"""The model and the judge in a folder of weights.

        Raises CheckpointError, and UserError for settings out of range.
        """
        judge = load_judge(config.weights)
        if config.model == "tokens":
            tokens = TokenPipeline.load(config.weights)
            settings = TokenSamplingSettings(config.guidance, drafts=config.drafts)
            chosen = f"the best of {config.drafts} drafts, " if config.drafts > 1 else ""
            how = f"tokens, {chosen}guidance {tokens.scale(settings)}"
            generate = partial(tokens.generate, settings=settings)
            return cls(generate, lambda x: tokens.decode(tokens.codebook.encode(x).flatten(1)), judge, how)
        model = TextToImage.load(config.weights)
        settings = SamplingSettings(config.steps, config.guidance, config.sampler)
        how = f"{config.steps} steps of {config.sampler}, guidance {model.scale(settings)}"
        return cls(partial(model.generate, settings=settings), lambda x: model.decode(model.encode(x)), judge, how)


def evaluate(config: EvaluateConfig) -> Report:
    r"""Evaluates the weights that `config` names; writes what it asks to be written.

    Raises CheckpointError for missing or damaged weights, and, before any work, if the result could not be written;
    UserError for settings that the model refuses.
    """
    for path in (config.out, config.sheet):
        if path is not None and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
            raise CheckpointError(f"Cannot write {path}: it must be a file in a folder that exists and is writable.")
    examinee = Examinee.load(config)
    if config.sheet is not None:
        contact_sheet(examinee.generate, config.sheet, batch=config.batch)
    report = examine(examinee, config, training_pages(config.training))
    if config.out is not None:
        write_atomically(config.out, report.to_json().encode())
    return report


def training_pages(n: int) -> Iterator[Pictures]:
    r"""The pictures that every training saw, in chunks; rendered first where no training has left them on disk."""
    book = PictureBook(n)
    for indices in tqdm(torch.arange(n).split(500), "searching for copies", leave=False):
        yield book.pictures(indices)


@torch.no_grad()
def examine(examinee: Examinee, config: EvaluateConfig, training: Iterable[Pictures]) -> Report:
    r"""Computes all figures. `training` yields the training pictures, in chunks of any size."""

    def in_batches(title: str, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
        starts = tqdm(range(0, len(inputs[0]), config.batch), title, unit="batch", leave=False)
        return torch.cat([function(*(x[i : i + config.batch] for x in inputs)) for i in starts])

    def generate(prompts: list[ExamPrompt]) -> Pictures:
        return in_batches("generating", examinee.generate, [p.text for p in prompts], list(range(len(prompts))))

    def classify(pictures: Pictures) -> Int[Tensor, "b a"]:
        return in_batches("classifying", lambda x: read_attributes(examinee.judge, x), pictures)

    def features(pictures: Pictures) -> Float[Tensor, "b d"]:
        return in_batches("computing features", examinee.judge.features, pictures)

    rng = exam_rng(config.seed)
    prompts = draw_prompts(config.prompts, rng, "seen", config.language)
    held_out = draw_prompts(config.held_out_prompts, rng, "held_out", config.language)
    diverse = draw_prompts(config.diverse_prompts, rng, "seen", config.language)
    repeated = [prompt for prompt in diverse for _ in range(VARIATIONS)]
    real_scenes = [random_scene(rng, split) for split in ("seen", "held_out") for _ in range(config.real)]
    fresh_scenes = [random_scene(rng) for _ in prompts]  # as many as generated ones, or distances could not be compared

    generated, variations = generate(prompts), generate(repeated)
    accuracy = prompt_accuracy(prompts + held_out, classify(torch.cat([generated, generate(held_out)])))
    seconds = speed(examinee, prompts[0].text)

    real, fresh = renders(real_scenes), renders(fresh_scenes)
    rebuilt = in_batches("reconstructing", examinee.reconstruct, fresh)
    decibels = in_batches("reconstructing", lambda x: psnr(examinee.reconstruct(x), x), real)
    reference = features(real[: config.real])
    companions = renders([companion(prompt, rng) for prompt in repeated])
    nearest = nearest_distance(torch.cat([generated, rebuilt, fresh]), training)
    compared = {"pixels": (variations, companions), "features": (features(variations), features(companions))}

    return Report(
        accuracy=accuracy,
        ceiling=ceiling(real_scenes, classify(real)),
        frechet={
            "generated": frechet_distance(features(generated), reference),
            "real, rebuilt": frechet_distance(features(rebuilt), reference),
            "real": frechet_distance(features(fresh), reference),
        },
        neighbours=neighbours(*nearest.split(len(prompts))),
        diversity={
            unit: {"generated": diversity(drawn, VARIATIONS), "real": diversity(others, VARIATIONS)}
            for unit, (drawn, others) in compared.items()
        },
        psnr=by_style(real_scenes, decibels),
        seconds=seconds,
        settings=vars(config) | {"how": examinee.how},
        machine={
            "processor": platform.processor() or platform.machine(),
            "system": platform.system(),
            "torch": torch.__version__.partition("+")[0],
            "threads": torch.get_num_threads(),
        },
    )


# ------------------------------------------------------------------------------------------------- the single figures


def prompt_accuracy(prompts: list[ExamPrompt], found: Int[Tensor, "n a"]) -> dict[str, dict[str, Share]]:
    r"""How many of the attributes that prompts mention are in the pictures, for groups of prompts.

    found: what the judge sees in the pictures (`read_attributes`).
    """
    right = found == torch.tensor([p.scene.labels for p in prompts])
    mentioned = torch.tensor([[name in p.mentioned for name in ATTRIBUTES] for p in prompts])
    splits = {"seen": False, "held out": True}
    groups = {name: [p.scene.held_out == held for p in prompts] for name, held in splits.items()}
    for language in sorted({p.language for p in prompts}):
        for name, held in splits.items():
            groups[f"{name}, {language}"] = [p.scene.held_out == held and p.language == language for p in prompts]
    return {name: shares(right[member], mentioned[member]) for name, member in groups.items()}


def ceiling(scenes: list[Scene], found: Int[Tensor, "n a"]) -> dict[str, dict[str, Share]]:
    r"""How many attributes of real renders the judge finds: the score of a perfect model."""
    right = found == torch.tensor([scene.labels for scene in scenes])
    groups = {
        "seen": [not scene.held_out for scene in scenes],
        "held out": [scene.held_out for scene in scenes],
        **{style: [scene.style == style for scene in scenes] for style in STYLES},
    }
    return {name: shares(right[member], torch.ones_like(right[member])) for name, member in groups.items()}


def shares(right: Bool[Tensor, "n a"], counted: Bool[Tensor, "n a"]) -> dict[str, Share]:
    r"""Of each attribute; of "every single" one; and of pictures with "all at once"."""
    hits, n = (right & counted).sum(0).tolist(), counted.sum(0).tolist()
    return {name: Share(*pair) for name, pair in zip(ATTRIBUTES, zip(hits, n, strict=True), strict=True)} | {
        "every single": Share(sum(hits), sum(n)),
        "all at once": Share(int((right | ~counted).all(1).sum()), len(right)),
    }


def neighbours(generated: Float[Tensor, "n"], rebuilt: Float[Tensor, "m"], real: Float[Tensor, "m"]) -> Neighbours:
    r"""Does the model copy? From distances to the nearest training picture: medians, and how many are too close.

    generated, rebuilt, real: those of generated pictures, of renders that the autoencoder reconstructed, of renders.
    """
    closer = Share(int((generated < rebuilt.quantile(0.01)).sum()), len(generated))
    return Neighbours(generated.median().item(), rebuilt.median().item(), real.median().item(), closer)


def by_style(scenes: list[Scene], values: Float[Tensor, "n"]) -> dict[str, float]:
    means = {style: values[[scene.style == style for scene in scenes]].mean().item() for style in STYLES}
    return means | {"mean": values.mean().item()}


def speed(examinee: Examinee, text: str) -> dict[str, float]:
    r"""Seconds for one picture and for a grid, the median of three runs; the model is warm by now."""

    def seconds(n: int) -> float:
        start = time.perf_counter()
        examinee.generate([text] * n, list(range(n)))
        return time.perf_counter() - start

    return {
        "one picture": median(seconds(1) for _ in range(3)),
        f"a grid of {VARIATIONS}": median(seconds(VARIATIONS) for _ in range(3)),
    }
