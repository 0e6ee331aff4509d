r"""The picture from further away: it shrinks, and its surroundings are drawn (outpainting)."""

from typing import Annotated

import PIL.Image

from minidiffusion.images.canvas import extend
from minidiffusion.pipelines.inpainting import border, inpaint

from .action import Option, action

FACTOR = Option("how far: the picture becomes 1/factor as large", 1.1, 4)


@action(buttons={"Zoom out 1.5 ×": {"factor": 1.5}, "Zoom out 2 ×": {"factor": 2.0}})
def zoom(model, picture, prompt, seeds, settings, *, factor: Annotated[float, FACTOR] = 1.5):
    r"""Step back: the picture shrinks, and what lies around it is drawn."""
    width, height = picture.image.size
    small = picture.image.resize((round(width / factor), round(height / factor)), PIL.Image.Resampling.LANCZOS)
    corner = ((width - small.width) // 2, (height - small.height) // 2)
    canvas, mask = extend(small, (width, height), corner, border(model))
    return inpaint(model, canvas, mask, prompt, seeds, settings, blended=True)
