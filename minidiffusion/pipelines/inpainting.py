r"""How every action of the studio draws: a prompt, steered for each seed; a guided denoiser; a sampler; the decoder."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

import minidiffusion
from minidiffusion.diffusion.guidance import composed
from minidiffusion.diffusion.inpaint import with_known_region
from minidiffusion.diffusion.prediction import denoiser
from minidiffusion.diffusion.sampler import SAMPLERS, Step
from minidiffusion.diffusion.schedule import Times

from minidiffusion.images.canvas import mend
from minidiffusion.images.pixels import to_tensor
from minidiffusion.pipelines.text_to_image import SeededNoise, TextToImage
from minidiffusion.images.pixels import to_pixels
from minidiffusion.prompt.parser import Prompt, format, parse
from minidiffusion.images.record import Picture, Record
from minidiffusion.networks.seamless import seamless
from minidiffusion.pipelines.settings import check
from minidiffusion.prompt.conditions import Weighted, conditions


@dataclass(frozen=True)
class SamplingSettings:
    r"""How pictures are sampled: settings that have nothing to do with what is to be seen."""

    steps: int = 25
    guidance: float | None = None
    """None is what suits the weights."""
    sampler: str = "dpm++"
    on_step: Callable[[Step], None] | None = None
    """Called after each step, to show it."""


DEFAULTS = SamplingSettings()


@torch.inference_mode()
def draw(
    model: TextToImage,
    prompt: Prompt,
    seeds: Sequence[int],
    how: SamplingSettings,
    size: tuple[int, int],
    seen: Sequence[Weighted] = (),
    begin: Float[Tensor, "b c h w"] | None = None,
    strength: float = 1.0,
    known: tuple[Tensor, Tensor] | None = None,
) -> Float[Tensor, "b 3 H W"]:
    r"""Pictures in [-1, 1]: noise, a denoiser guided by all that the prompt says, a sampler, the decoder.

    begin: latents to start from, noised as far as `strength` says. known: latents, and a mask that is 0 where the
    result is to be as they are.
    """
    guidance = model.guidance if how.guidance is None else how.guidance
    check([""] * len(seeds), seeds, guidance, how.sampler)
    each = [conditions(prompt, seed, seen) for seed in seeds]
    contexts = [model.context([text for text, _ in parts]) for parts in zip(*each, strict=True)]
    denoise = denoiser(model.unet, model.schedule, model.prediction)
    nothing = model.context([", ".join(prompt.no)] * len(seeds))
    denoise = composed(denoise, contexts, [weight for _, weight in each[0]], nothing, guidance)
    if known is not None:
        denoise = with_known_region(denoise, model.schedule, *known)

    steps = how.steps * prompt.quality
    times, noise, f = model.schedule.times(steps), SeededNoise(seeds), model.vae.config.downsampling
    x = noise(torch.empty(len(seeds), model.unet.config.in_channels, size[1] // f, size[0] // f, device=model.device))
    if begin is None:
        x = model.schedule.spread_T * x
    else:
        times = Times(*(column[round((1 - strength) * steps) :] for column in times))
        x = times.alpha[0] * begin + times.sigma[0] * x
    last = math.ceil(prompt.stop * (len(times.t) - 1) / 100)  # in this order: 14 / 100 * 50 is more than 7
    with seamless(model.unet, model.vae.decoder, on=prompt.tile):
        for step in islice(SAMPLERS[how.sampler](denoise, x, times, noise=noise), last):
            if how.on_step is not None:
                how.on_step(step)
            x = step.x0_hat if prompt.stop < 100 else step.x
        return model.decode(x)


def fill(
    model: TextToImage,
    prompt: Prompt,
    seeds: Sequence[int],
    how: SamplingSettings,
    canvas: PIL.Image.Image,
    mask: PIL.Image.Image,
    mended: bool = False,
) -> Float[Tensor, "b 3 H W"]:
    r"""The canvas with the white part of the mask drawn, in the light of the rest. mended: without a seam."""
    size, x = model.sides(canvas.size), to_tensor(canvas)
    unknown = torch.from_numpy(np.array(mask.convert("L"))).float()[None, None] / 255
    cells = F.max_pool2d(unknown, model.vae.config.downsampling)  # a latent with one unknown pixel is unknown
    drawn = draw(model, prompt, seeds, how, size, known=(model.encode(x), cells.to(model.device))).cpu()
    return mend(drawn, x, unknown).clamp(-1, 1) if mended else torch.where(unknown > 0, drawn, x)


def read(prompt: str | Prompt | None, picture: Picture | None = None) -> Prompt:
    r"""The prompt; if there is none, the picture's own, without the pictures that it looked at.

    Raises ValueError if what is done with a picture should look at others as well.
    """
    if prompt is None:
        own = parse(picture.record.prompt if picture and picture.record else "")
        return replace(own, images=(), sref=None)
    prompt = parse(prompt) if isinstance(prompt, str) else prompt
    if picture is not None and (prompt.images or prompt.sref):
        raise ValueError("Only a new picture can look at others; this prompt may name none, and have no --sref.")
    return prompt


def size_of(model: TextToImage, ar: tuple[int, int]) -> tuple[int, int]:
    r"""(width, height) in pixels: the shorter is the model's own, the longer the nearest that it can draw."""
    longer = model.size_step * round(model.size * max(ar) / min(ar) / model.size_step)
    return (longer, model.size) if ar[0] >= ar[1] else (model.size, longer)


def finished(
    model: TextToImage,
    action: str,
    prompt: Prompt,
    seeds: Sequence[int],
    how: SamplingSettings,
    x: Float[Tensor, "b 3 H W"],
    settings: dict[str, Any],
    sources: Sequence[Picture],
) -> list[Picture]:
    r"""The pictures with their records."""
    guidance = float(model.guidance if how.guidance is None else how.guidance)
    of_all = (how.steps, guidance, how.sampler, x.shape[3], x.shape[2], model.weights, minidiffusion.__version__)
    parents = tuple(picture.source for picture in sources)
    text = format(replace(prompt, seed=None, repeat=1))  # each picture has its own
    return [
        Picture(PIL.Image.fromarray(pixels), Record(action, text, int(seed), *of_all, settings, parents))
        for pixels, seed in zip(to_pixels(x), seeds, strict=True)
    ]
