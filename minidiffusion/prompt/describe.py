r"""From a picture to a prompt: a search for the caption that CLIP finds nearest (Midjourney's describe and shorten).

A caption of the picture book says one value for each of seven attributes. `describe` looks for the caption that CLIP
finds nearest to a picture: all values but one are held, the best for that one is taken, and so on around, until nothing
changes. That asks 41 captions a round and not all 86,400; different starts guard against a bad end.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Protocol, runtime_checkable

import PIL.Image
import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.clip.encoder import CLIP
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.data.captioned import Language
from minidiffusion.errors import UserError
from minidiffusion.images.pixels import to_tensor
from minidiffusion.images.record import Picture
from minidiffusion.picturebook import captions
from minidiffusion.picturebook.scene import ATTRIBUTES, Scene

from .conditions import Weighted
from .flags import Prompt

STARTS = 3


@runtime_checkable
class HasCLIP(Protocol):
    r"""A pipeline, of which only CLIP is needed here."""

    tokenizer: Tokenizer
    clip: CLIP | None

    @property
    def device(self) -> torch.device: ...


def describe(model: HasCLIP, image: PIL.Image.Image, language: Language = "en") -> list[str]:
    r"""Captions of the picture, the best first: up to STARTS."""
    return [captions.describe(scene, language) for scene in nearest_scenes(model, image)]


def nearest_scenes(model: HasCLIP, image: PIL.Image.Image) -> list[Scene]:
    r"""What CLIP takes the picture for, the nearest first: one scene for each place where the search ended."""
    picture = look(model, image)
    similarity: dict[Scene, float] = {}  # of the captions that were asked about

    def best(scenes: list[Scene]) -> Scene:
        if new := [scene for scene in scenes if scene not in similarity]:
            embeddings = embed(model, [captions.describe(scene) for scene in new])
            similarity.update(zip(new, (embeddings @ picture).tolist(), strict=True))
        return max(scenes, key=similarity.__getitem__)

    ends = set()
    for start in range(STARTS):
        random = Random(start)
        scene = Scene(**{name: random.choice(values) for name, values in ATTRIBUTES.items()})  # pyright: ignore
        before = None
        while scene != before:
            before = scene
            for name, values in ATTRIBUTES.items():
                scene = best([replace(scene, **{name: value}) for value in values])
        ends.add(scene)
    return sorted(ends, key=similarity.__getitem__, reverse=True)


def style_of(model: HasCLIP, image: PIL.Image.Image) -> str:
    r"""The word for the picture's style."""
    return captions.LEXICON["style"][nearest_scenes(model, image)[0].style]["en"][0]


def picture_conditions(model: HasCLIP, prompt: Prompt, pictures: Sequence[Picture]) -> list[Weighted]:
    r"""What the pictures of a prompt show, in words: its images with weight --iw, the style of its --sref with --sw.

    pictures: the opened images, and then that of --sref. Raises UserError for another number of them.
    """
    n = len(prompt.images)
    if len(pictures) != n + (prompt.sref is not None):
        raise UserError(f"The prompt names {n + (prompt.sref is not None)} pictures, got {len(pictures)}.")
    shown = [(describe(model, picture.image)[0], prompt.iw) for picture in pictures[:n]]
    if prompt.sref is not None:
        shown.append((style_of(model, pictures[-1].image), prompt.sw / 100))
    return shown


def shorten(model: HasCLIP, prompt: str) -> list[tuple[str, float]]:
    r"""The words of a prompt and what each weighs: by how much CLIP's vector turns without it, 1 - cosine."""
    words = prompt.split()
    without = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    embeddings = embed(model, [prompt, *without])
    return list(zip(words, (1 - embeddings[1:] @ embeddings[0]).tolist(), strict=True))


def clip_of(model: HasCLIP) -> CLIP:
    if model.clip is None:
        raise UserError("Putting pictures into words needs a whole CLIP, and this model has only its text encoder.")
    return model.clip


@torch.inference_mode()
def embed(model: HasCLIP, texts: list[str]) -> Float[Tensor, "n d"]:
    clip = clip_of(model)
    return clip.encode_text(model.tokenizer(texts, clip.config.context_length).to(model.device))


@torch.inference_mode()
def look(model: HasCLIP, image: PIL.Image.Image) -> Float[Tensor, "d"]:
    r"""CLIP's vector of a picture of any shape: of the largest square in its middle."""
    clip = clip_of(model)
    side, seen = min(image.size), clip.config.picture_size
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((seen, seen), PIL.Image.Resampling.BICUBIC)
    return clip.encode_image(to_tensor(square).to(model.device))[0]
