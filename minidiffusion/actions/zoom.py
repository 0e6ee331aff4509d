r"""The picture from further away: it shrinks, and its surroundings are drawn (outpainting)."""

from collections.abc import Sequence
from typing import Annotated

import PIL.Image
from jaxtyping import Float
from torch import Tensor

from minidiffusion.images.canvas import extend
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.inpainting import border, inpaint
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.flags import Prompt

from .action import Option, action


@action(buttons={"Zoom out 1.5 ×": {"factor": 1.5}, "Zoom out 2 ×": {"factor": 2.0}})
def zoom(
    model: TextToImage,
    picture: Picture,
    prompt: Prompt,
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    factor: Annotated[float, Option("how far: the picture becomes 1/factor as large", 1.1, 4)] = 1.5,
) -> Float[Tensor, "b 3 H W"]:
    r"""Step back: the picture shrinks, and what lies around it is drawn."""
    width, height = picture.image.size
    small = picture.image.resize((round(width / factor), round(height / factor)), PIL.Image.Resampling.LANCZOS)
    corner = ((width - small.width) // 2, (height - small.height) // 2)
    canvas, mask = extend(small, (width, height), corner, border(model))
    return inpaint(model, canvas, mask, prompt, seeds, settings, blended=True)
