r"""Does the model do what it is told? An examination whose every figure stands beside its yardstick.

    figure                                          yardstick
    attributes that a prompt names, read back       the judge's own accuracy on real renders
    Fréchet distance of generated pictures          the same for real renders, as they are and through the autoencoder
    distance to the nearest training picture        the same for real renders through the autoencoder
    spread of four pictures of one prompt           the spread of real renders of which the prompt is true
    reconstruction by the autoencoder               its worst style

The autoencoder is the VAE of diffusion, or the codebook of tokens: whatever a model draws ends in its decoder.

No training has seen the real renders used here, and the judge has seen no prompt and no generated picture.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from minidiffusion.checkpoint import CheckpointError, load_model, write_atomically
from minidiffusion.evaluation.metrics import frechet_distance, nearest_distance, spread
from minidiffusion.images.pixels import psnr
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.evaluation.questions import Prompt, companion, draw_prompts, exam_rng, renders
from minidiffusion.evaluation.report import Neighbours, Report, Share
from minidiffusion.evaluation.contact_sheet import contact_sheet
from minidiffusion.pretrained.weights import find_weights
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings
from minidiffusion.evaluation.judge import Judge, JudgeConfig
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES, STYLES, Scene, random_scene

Pictures = Float[Tensor, "b 3 64 64"]
VARIATIONS = 4  # pictures of one prompt, both in a grid and to measure diversity


@dataclass(frozen=True)
class EvaluateConfig:
    r"""What to examine and how thoroughly; the defaults take about 1,300 pictures."""

    prompts: int = 512
    """Prompts about combinations of subject and colour that training has seen."""
    held_out_prompts: int = 512
    """Prompts about combinations that no training has seen."""
    diverse_prompts: int = 64
    """Prompts of which four pictures each are made, to see how they differ."""
    real: int = 2048
    """Real renders, of seen and of held-out combinations each, for the judge and the VAE."""
    training: int = 60_000
    """Training pictures (the first pages of picture book 0) among which copies are searched."""
    language: Literal["en", "zh", "both"] = "both"
    """Language of the prompts; "both" alternates."""
    model: Literal["diffusion", "tokens"] = "diffusion"
    steps: int = 25
    """Of diffusion, as is the sampler."""
    sampler: str = "dpm++"
    drafts: int = 1
    """Of tokens: so many are written for each picture, and CLIP takes the best."""
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
                raise ValueError(f"{name} must be at least 2, but was {getattr(self, name)}.")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, but was {self.batch}.")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, but was {self.seed}.")


@dataclass(frozen=True)
class Examinee:
    r"""What is examined, as functions, so that an impostor can be examined as well."""

    generate: Callable[[list[str], list[int]], Pictures]
    """prompts, one seed each -> pictures"""
    reconstruct: Callable[[Pictures], Pictures]
    """pictures, through the autoencoder and back"""
    judge: Judge
    how: str = ""
    """in words, how it makes pictures"""

    @classmethod
    def load(cls, config: EvaluateConfig) -> "Examinee":
        r"""The model and the judge that lie together in a folder of weights. Raises `CheckpointError`."""
        judge = load_model(find_weights(config.weights), "judge", JudgeConfig, Judge)
        if judge.config.attributes != {name: len(values) for name, values in ATTRIBUTES.items()}:
            raise CheckpointError(f"The judge of {config.weights!r} was trained for other attributes.")
        return cls.of_tokens(config, judge) if config.model == "tokens" else cls.of_diffusion(config, judge)

    @classmethod
    def of_diffusion(cls, config: EvaluateConfig, judge: Judge) -> "Examinee":
        model = TextToImage.load(config.weights)
        guidance = model.guidance if config.guidance is None else config.guidance

        def generate(prompts: list[str], seeds: list[int]) -> Pictures:
            return model.generate(prompts, seeds, config.steps, guidance, sampler=config.sampler)

        how = f"{config.steps} steps of {config.sampler}, guidance {guidance}"
        return cls(generate, lambda x: model.decode(model.encode(x)), judge, how)

    @classmethod
    def of_tokens(cls, config: EvaluateConfig, judge: Judge) -> "Examinee":
        writer = TokenPipeline.load(config.weights)
        writing = TokenSamplingSettings(config.guidance, drafts=config.drafts)

        def generate(prompts: list[str], seeds: list[int]) -> Pictures:
            return writer.generate(prompts, seeds, writing)

        chosen = f"the best of {config.drafts} drafts, " if config.drafts > 1 else ""
        how = f"tokens, {chosen}guidance {writer.scale(writing)}"
        return cls(generate, lambda x: writer.decode(writer.codebook.encode(x).flatten(1)), judge, how)


def evaluate(config: EvaluateConfig) -> Report:
    r"""Examines the weights that `config` names; writes what it asks to be written.

    Raises `CheckpointError` for missing or damaged weights, and, before any work, if the result could not be written;
    `ValueError` for settings that the model refuses.
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
    for indices in tqdm(torch.arange(n).split(500), "looking for copies", leave=False):
        yield book.pictures(indices)


@torch.no_grad()
def examine(examinee: Examinee, config: EvaluateConfig, training: Iterable[Pictures]) -> Report:
    r"""Puts all the questions. `training` yields the training pictures, in chunks of any size."""

    def in_batches(title: str, function: Callable[..., Tensor], *inputs) -> Tensor:
        starts = tqdm(range(0, len(inputs[0]), config.batch), title, unit="batch", leave=False)
        return torch.cat([function(*(x[i : i + config.batch] for x in inputs)) for i in starts])

    def imagine(prompts: list[Prompt]) -> Pictures:
        return in_batches("imagining", examinee.generate, [p.text for p in prompts], list(range(len(prompts))))

    def answers(pictures: Pictures) -> Int[Tensor, "b a"]:
        return in_batches("judging", lambda x: read(examinee.judge, x), pictures)

    def features(pictures: Pictures) -> Float[Tensor, "b d"]:
        return in_batches("measuring", examinee.judge.features, pictures)

    rng = exam_rng(config.seed)
    prompts = draw_prompts(config.prompts, rng, "seen", config.language)
    held_out = draw_prompts(config.held_out_prompts, rng, "held_out", config.language)
    diverse = draw_prompts(config.diverse_prompts, rng, "seen", config.language)
    repeated = [prompt for prompt in diverse for _ in range(VARIATIONS)]
    real_scenes = [random_scene(rng, split) for split in ("seen", "held_out") for _ in range(config.real)]
    fresh_scenes = [random_scene(rng) for _ in prompts]  # as many as generated ones, or distances could not be compared

    generated, variations = imagine(prompts), imagine(repeated)
    obeyed = obedience(prompts + held_out, answers(torch.cat([generated, imagine(held_out)])))
    seconds = speed(examinee, prompts[0].text)

    real, fresh = renders(real_scenes), renders(fresh_scenes)
    rebuilt = in_batches("reconstructing", examinee.reconstruct, fresh)
    decibel = in_batches("reconstructing", lambda x: psnr(examinee.reconstruct(x), x), real)
    reference = features(real[: config.real])
    companions = renders([companion(prompt, rng) for prompt in repeated])
    nearest = nearest_distance(torch.cat([generated, rebuilt, fresh]), training)

    return Report(
        obeyed=obeyed,
        ceiling=ceiling(real_scenes, answers(real)),
        frechet={
            "generated": frechet_distance(features(generated), reference),
            "real, rebuilt": frechet_distance(features(rebuilt), reference),
            "real": frechet_distance(features(fresh), reference),
        },
        neighbours=neighbours(*nearest.split(len(prompts))),
        spread={
            "pixels": diversity(variations, companions),
            "features": diversity(features(variations), features(companions)),
        },
        psnr=by_style(real_scenes, decibel),
        seconds=seconds,
        settings=vars(config) | {"how": examinee.how},
        machine={
            "processor": platform.processor() or platform.machine(),
            "system": platform.system(),
            "torch": torch.__version__.partition("+")[0],
            "threads": torch.get_num_threads(),
        },
    )


# ------------------------------------------------------------------------------------------------- the single questions


def read(judge: Judge, pictures: Pictures) -> Int[Tensor, "b a"]:
    r"""The value that the judge finds most probable, for each attribute, as an index in the order of ATTRIBUTES."""
    logits = judge(pictures)
    return torch.stack([logits[name].argmax(-1) for name in ATTRIBUTES], dim=1)


def obedience(prompts: list[Prompt], answers: Int[Tensor, "n a"]) -> dict[str, dict[str, Share]]:
    r"""How many of the attributes that prompts mention were found, for groups of prompts."""
    right = answers == torch.tensor([p.scene.labels for p in prompts])
    mentioned = torch.tensor([[name in p.mentioned for name in ATTRIBUTES] for p in prompts])
    splits = {"seen": False, "held out": True}
    groups = {name: [p.scene.held_out == held for p in prompts] for name, held in splits.items()}
    for language in sorted({p.language for p in prompts}):
        for name, held in splits.items():
            groups[f"{name}, {language}"] = [p.scene.held_out == held and p.language == language for p in prompts]
    return {name: shares(right[member], mentioned[member]) for name, member in groups.items()}


def ceiling(scenes: list[Scene], answers: Int[Tensor, "n a"]) -> dict[str, dict[str, Share]]:
    r"""How many attributes of real renders were found: a perfect model would score this."""
    right = answers == torch.tensor([scene.labels for scene in scenes])
    groups = {
        "seen": [not scene.held_out for scene in scenes],
        "held out": [scene.held_out for scene in scenes],
        **{style: [scene.style == style for scene in scenes] for style in STYLES},
    }
    return {name: shares(right[member], torch.ones_like(right[member])) for name, member in groups.items()}


def shares(right: Bool[Tensor, "n a"], counted: Bool[Tensor, "n a"]) -> dict[str, Share]:
    r"""Of each attribute; of "every single" answer; and of pictures with "all at once"."""
    hits, n = (right & counted).sum(0).tolist(), counted.sum(0).tolist()
    return {name: Share(*pair) for name, pair in zip(ATTRIBUTES, zip(hits, n, strict=True), strict=True)} | {
        "every single": Share(sum(hits), sum(n)),
        "all at once": Share(int((right | ~counted).all(1).sum()), len(right)),
    }


def neighbours(generated: Float[Tensor, "n"], rebuilt: Float[Tensor, "m"], real: Float[Tensor, "m"]) -> Neighbours:
    r"""From the distances to the nearest training pictures."""
    closer = int((generated < rebuilt.quantile(0.01)).sum())
    return Neighbours(
        generated=generated.median().item(),
        rebuilt=rebuilt.median().item(),
        real=real.median().item(),
        closer=Share(closer, len(generated)),
    )


def diversity(generated: Float[Tensor, "n *shape"], real: Float[Tensor, "n *shape"]) -> dict[str, float]:
    return {"generated": spread(generated, VARIATIONS), "real": spread(real, VARIATIONS)}


def by_style(scenes: list[Scene], values: Float[Tensor, "n"]) -> dict[str, float]:
    means = {style: values[[scene.style == style for scene in scenes]].mean().item() for style in STYLES}
    return means | {"mean": values.mean().item()}


def speed(examinee: Examinee, text: str) -> dict[str, float]:
    r"""Seconds for one picture and for a grid, in the middle of three goes; the model is warm by now."""

    def seconds(n: int) -> float:
        start = time.perf_counter()
        examinee.generate([text] * n, list(range(n)))
        return time.perf_counter() - start

    return {
        "one picture": median(seconds(1) for _ in range(3)),
        f"a grid of {VARIATIONS}": median(seconds(VARIATIONS) for _ in range(3)),
    }
