r"""The questions of an examination: prompts from the grammar of captions, and real renders to compare with."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from minidiffusion.picturebook.captions import LANGUAGES, caption
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import Scene, random_scene

EXAM = 0x6578616D  # begins the key of every random stream here, where a picture book has its own, small, seed


class Prompt(NamedTuple):
    r"""A prompt, the scene it was drawn from, and the attributes it states; the others are the model's to choose."""

    scene: Scene
    text: str
    mentioned: frozenset[str]
    language: str


def exam_rng(seed: int) -> np.random.Generator:
    r"""Random numbers which no training picture was made from, whatever its seed."""
    return np.random.default_rng((EXAM, seed))


def draw_prompts(n: int, rng: np.random.Generator, split: str = "seen", language: str = "both") -> list[Prompt]:
    r"""n prompts about scenes of the split ("seen", "held_out" or "all"); with "both", the languages take turns.

    A prompt about a held-out combination states it: without its colour it would be a prompt like any other.
    """
    required = {"subject", "colour"} if split == "held_out" else {"subject"}
    prompts = []
    for tongue in islice(cycle(LANGUAGES if language == "both" else (language,)), n):
        scene = random_scene(rng, split)
        text, mentioned = caption(scene, rng, tongue)
        while not required <= mentioned:
            text, mentioned = caption(scene, rng, tongue)
        prompts.append(Prompt(scene, text, mentioned, tongue))
    return prompts


def companion(prompt: Prompt, rng: np.random.Generator) -> Scene:
    r"""Another scene of which the prompt is true: what it states is kept, all else is drawn again."""
    stated = {name: getattr(prompt.scene, name) for name in prompt.mentioned}
    split = "all" if prompt.scene.held_out else "seen"
    while True:
        scene = replace(random_scene(rng, split), **stated)
        if split == "all" or not scene.held_out:
            return scene


def renders(scenes: Sequence[Scene]) -> Float[Tensor, "n 3 64 64"]:
    r"""Their pictures, in [-1, 1]."""
    pages = np.stack([render(scene) for scene in tqdm(scenes, "rendering", leave=False)])
    return torch.from_numpy(pages).permute(0, 3, 1, 2).float() / 127.5 - 1
