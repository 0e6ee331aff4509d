r"""Colours, RGB in 0..255, of skies, places and subjects."""

from dataclasses import dataclass
from typing import NamedTuple

Number = int | float  # beartype, in the tests, does not accept 1 as a float
Colour = tuple[Number, Number, Number]


def mix(a: Colour, b: Colour, t: Number) -> Colour:
    """(1 - t) a + t b."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def lit(colour: Colour, light: Colour) -> Colour:
    """A surface of this `colour` under a `light` in 0..1."""
    return (colour[0] * light[0], colour[1] * light[1], colour[2] * light[2])


def dark(colour: Colour, amount: Number) -> Colour:
    """A darker shade: `amount` 1 leaves it, 0 is black."""
    return (colour[0] * amount, colour[1] * amount, colour[2] * amount)


def light(colour: Colour, amount: Number) -> Colour:
    """A lighter tint: `amount` 0 leaves it, 1 is white."""
    return mix(colour, WHITE, amount)


WHITE: Colour = (255, 255, 255)

COLOURS: dict[str, Colour] = {
    "red": (216, 38, 42),
    "orange": (246, 128, 24),
    "yellow": (253, 213, 48),
    "green": (46, 164, 72),
    "blue": (38, 98, 220),
    "purple": (126, 54, 180),
    "pink": (250, 138, 188),
    "white": (248, 247, 244),
}


@dataclass(frozen=True)
class Sky:
    """The colours of a sky from the zenith down to the horizon, and of its light."""

    zenith: Colour
    middle: Colour
    horizon: Colour
    haze: Colour  # of distant land
    light: Colour  # on the land
    glow: Colour  # on the subject: weaker, so that its colour can be recognised at night
    lamp: Colour  # sun or moon
    lamps_lit: bool = False  # in windows
    casts_glitter: bool = True  # on the sea: only a sun or a moon does


SKIES: dict[str, Sky] = {
    "day": Sky(
        zenith=(66, 146, 226), middle=(128, 194, 242), horizon=(220, 240, 248), haze=(186, 216, 238),
        light=(1, 1, 1), glow=(1, 1, 1), lamp=(255, 232, 130),
    ),
    "night": Sky(
        zenith=(12, 18, 58), middle=(28, 42, 100), horizon=(66, 88, 148), haze=(48, 64, 122),
        light=(0.34, 0.42, 0.72), glow=(0.9, 0.9, 0.97), lamp=(250, 244, 214), lamps_lit=True,
    ),
    "sunset": Sky(
        zenith=(92, 62, 140), middle=(238, 112, 100), horizon=(255, 204, 116), haze=(234, 136, 116),
        light=(0.96, 0.7, 0.6), glow=(1, 0.93, 0.87), lamp=(255, 240, 170),
    ),
    "rain": Sky(
        zenith=(70, 92, 122), middle=(112, 138, 160), horizon=(182, 202, 210), haze=(138, 162, 178),
        light=(0.68, 0.77, 0.84), glow=(0.94, 0.96, 0.98), lamp=(210, 216, 222), lamps_lit=True, casts_glitter=False,
    ),
    "aurora": Sky(
        zenith=(10, 16, 50), middle=(14, 52, 80), horizon=(34, 110, 116), haze=(22, 76, 92),
        light=(0.3, 0.52, 0.58), glow=(0.88, 0.93, 0.94), lamp=(120, 250, 180), lamps_lit=True, casts_glitter=False,
    ),
}  # fmt: skip


class Land(NamedTuple):
    """The colours of a place in three distances."""

    near: Colour
    mid: Colour
    far: Colour


LANDS: dict[str, Land] = {
    "meadow": Land((122, 190, 76), (92, 168, 84), (104, 160, 140)),
    "sea": Land((38, 112, 168), (70, 152, 192), (110, 150, 150)),
    "desert": Land((240, 198, 124), (228, 168, 98), (204, 128, 92)),
    "snow": Land((242, 247, 253), (214, 228, 244), (164, 188, 220)),
    "forest": Land((96, 124, 62), (30, 82, 64), (74, 128, 110)),
}
