r"""The viewport: which part of the world a picture shows, and in how many pixels.

A point of the world is (x, y) with y down; the plain picture, 64 x 64, shows x and y from 0 to 64.
"""

from dataclasses import dataclass
from functools import cached_property

from minidiffusion.errors import UserError

from .palette import Number

SIDE = 64  # of the plain picture; every larger one shows what it shows
HORIZON = 39.0  # the y of the horizon

Points = list[tuple[Number, Number]]


@dataclass(frozen=True)
class Viewport:
    r"""`width` x `height` units of the world, in `scale` pixels a unit.

    Raises UserError for a shape beyond 1:2 or 2:1, a side that is no multiple of 16, or a scale that is not 1 or 2.
    """

    width: int = SIDE
    height: int = SIDE
    scale: int = 1

    def __post_init__(self) -> None:
        sides = sorted((self.width, self.height))
        if sides[0] != SIDE or sides[1] not in range(SIDE, 2 * SIDE + 1, 16):
            raise UserError(
                f"one side of a picture must be {SIDE} and the other 64, 80, 96, 112 or 128, "
                f"got {self.width} x {self.height}."
            )
        if self.scale not in (1, 2):
            raise UserError(f"the scale of a picture must be 1 or 2, got {self.scale}.")

    @cached_property
    def zoom(self) -> int:
        """Pixels of the canvas in a unit: four times those of the picture, for antialiasing."""
        return 4 * self.scale

    @cached_property
    def bottom(self) -> int:
        """The y of the lower edge: a taller picture shows a little more ground, and much more sky."""
        return SIDE + (self.height - SIDE) // 8

    @cached_property
    def top(self) -> int:
        """The y of the upper edge, at most 0."""
        return self.bottom - self.height

    def size(self, times: int) -> tuple[int, int]:
        """Width and height in pixels, if a unit is `times` pixels."""
        return self.width * times, self.height * times
