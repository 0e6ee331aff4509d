r"""Pictures of a prompt."""

from typing import Annotated

from minidiffusion.prompt.describe import picture_conditions

from .action import MANY, Option, action

SIZE = Option("width and height in pixels; by default as --ar says", unpack=tuple)


@action(pictures=(0, MANY), buttons={})
def imagine(model, pictures, prompt, seeds, settings, *, size: Annotated[tuple[int, int] | None, SIZE] = None):
    r"""Pictures of the prompt. pictures: the opened images of the prompt, and then that of --sref."""
    extra = picture_conditions(model, prompt, pictures)
    return model.generate(prompt, seeds, settings, size=size, extra=extra)
