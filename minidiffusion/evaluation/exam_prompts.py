r"""The prompts of an evaluation, drawn from the grammar of captions, and real renders to compare with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from minidiffusion.data.captioned import Language
from minidiffusion.images.pixels import from_pixels
from minidiffusion.picturebook.captions import LANGUAGES, caption
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import Scene, Split, random_scene

EXAM = 0x6578616D  # begins the key of every random stream here, where a picture book has its own, small, seed


class ExamPrompt(NamedTuple):
    r"""A prompt, the scene it describes, and the attributes it mentions; the others are the model's choice."""

    scene: Scene
    text: str
    mentioned: frozenset[str]
    language: Language


def exam_rng(seed: int) -> np.random.Generator:
    r"""Random numbers that no training picture depends on, whatever its seed."""
    return np.random.default_rng((EXAM, seed))


def draw_prompts(
    n: int, rng: np.random.Generator, split: Split = "seen", language: Language | Literal["both"] = "both"
) -> list[ExamPrompt]:
    r"""n prompts about scenes of the split ("seen", "held_out" or "all"); with "both", the languages alternate.

    A prompt about a held-out combination mentions subject and colour: without the colour it would not be held out.
    """
    required = {"subject", "colour"} if split == "held_out" else {"subject"}
    prompts = []
    languages: tuple[Language, ...] = LANGUAGES if language == "both" else (language,)
    for i in range(n):
        each = languages[i % len(languages)]
        scene = random_scene(rng, split)
        text, mentioned = caption(scene, rng, each)
        while not required <= mentioned:
            text, mentioned = caption(scene, rng, each)
        prompts.append(ExamPrompt(scene, text, mentioned, each))
    return prompts


def companion(prompt: ExamPrompt, rng: np.random.Generator) -> Scene:
    r"""Another scene that the prompt describes: what it mentions is kept, all else is drawn again."""
    mentioned = {name: getattr(prompt.scene, name) for name in prompt.mentioned}
    split = "all" if prompt.scene.held_out else "seen"
    while True:
        scene = replace(random_scene(rng, split), **mentioned)
        if split == "all" or not scene.held_out:
            return scene


def renders(scenes: Sequence[Scene]) -> Float[Tensor, "n 3 64 64"]:
    r"""Their pictures, in [-1, 1]."""
    return from_pixels(np.stack([render(scene) for scene in tqdm(scenes, "rendering", leave=False)]))
