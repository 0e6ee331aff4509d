r"""The camera turns: the canvas grows to one side (outpainting)."""

from typing import Annotated, Literal

from minidiffusion.images.canvas import extend
from minidiffusion.pipelines.inpainting import border, inpaint

from .action import Option, action

Direction = Literal["left", "right", "up", "down"]
DIRECTIONS: dict[Direction, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
DIRECTION = Option("left, right, up or down", positional=True)
BUTTONS = {"← Pan": "left", "Pan →": "right", "↑ Pan": "up", "↓ Pan": "down"}


@action(buttons={label: {"direction": direction} for label, direction in BUTTONS.items()})
def pan(model, picture, prompt, seeds, settings, *, direction: Annotated[Direction, DIRECTION]):
    r"""Turn the camera: the picture grows by half to one side.

    What would make it more than 2:1 is cut off at the other side.
    """
    size, corner = [], []
    for side, other, d in zip(picture.image.size, picture.image.size[::-1], DIRECTIONS[direction], strict=True):
        grow = abs(d) * model.size_step * max(1, round(side / 2 / model.size_step))
        size.append(min(side + grow, max(side, 2 * other)))
        corner.append(grow if d < 0 else size[-1] - grow - side)  # the new strip is always as wide as it should be
    canvas, mask = extend(picture.image, (size[0], size[1]), (corner[0], corner[1]), border(model))
    return inpaint(model, canvas, mask, prompt, seeds, settings, blended=True)
