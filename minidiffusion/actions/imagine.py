r"""Pictures of a prompt."""

from collections.abc import Sequence
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from minidiffusion.images.record import Picture
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.describe import picture_conditions
from minidiffusion.prompt.flags import Prompt

from .action import MANY, Option, action

SIZE = Option("width and height in pixels; by default as --ar says", unpack=tuple)


@action(pictures=(0, MANY), buttons={})
def imagine(
    model: TextToImage,
    pictures: Sequence[Picture],
    prompt: Prompt,
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    size: Annotated[tuple[int, int] | None, SIZE] = None,
) -> Float[Tensor, "b 3 H W"]:
    r"""Pictures of the prompt. pictures: the opened images of the prompt, and then that of --sref."""
    extra = picture_conditions(model, prompt, pictures)
    return model.generate(prompt, seeds, settings, size=size, extra=extra)
