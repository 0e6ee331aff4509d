r"""The five places: the land in three distances, and what lets any subject stand there."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from minidiffusion.picturebook.brush import SIDE, Brush, Points
from minidiffusion.picturebook.palette import LANDS, Colour, Land, Number, Sky, dark, light, lit, mix

HORIZON = 39.0


@dataclass(frozen=True)
class Spot:
    """Where the subject is to stand."""

    subject: str
    x: Number
    y: Number  # its foot
    size: Number
    lamp: Number  # where the sun or moon is, across


def light_on(place: str, sky: Sky) -> Land:
    """The place's colours at this hour: dimmed by the light, and the farther the more lost in the haze."""
    land = LANDS[place]
    return Land(
        mix(lit(land.near, sky.light), sky.haze, 0.0 if sky.light == (1, 1, 1) else 0.16),
        mix(lit(land.mid, sky.light), sky.haze, 0.2),
        mix(lit(land.far, sky.light), sky.haze, 0.55),
    )


def ridge(rng: Random, height: Number, swell: Number, waves: Number) -> Points:
    """The run of a hill from edge to edge: a long wave and half as high a short one, where the seed puts them."""
    a, b = rng.uniform(0, 6.28), rng.uniform(0, 6.28)
    turn = waves * 6.28 / SIDE
    tops = [
        (x, height - swell * (math.sin(a + turn * x) + 0.5 * math.sin(b + 1.9 * turn * x)))
        for x in range(-4, SIDE + 5, 4)
    ]
    return [*tops, (SIDE + 4, SIDE + 4), (-4, SIDE + 4)]


def below(y: Number) -> Points:
    """All of the picture below a level line."""
    return [(-4, y), (SIDE + 4, y), (SIDE + 4, SIDE + 4), (-4, SIDE + 4)]


def foreground(b: Brush, rng: Random, colour: Colour) -> None:
    """A last soft swell of the ground along the lower edge."""
    b.plain(ridge(rng, 60.0, 1.6, 0.55), colour)


def pine(b: Brush, x: Number, y: Number, h: Number, colour: Colour) -> None:
    w = h * 0.3
    b.polygon([(x - w, y), (x - w * 0.45, y - h * 0.42), (x - w * 0.62, y - h * 0.42), (x, y - h),
               (x + w * 0.62, y - h * 0.42), (x + w * 0.45, y - h * 0.42), (x + w, y)], colour)  # fmt: skip


def shadow(b: Brush, spot: Spot, lean: Number) -> None:
    """The subject's shadow: a pool at its foot by day, a long tongue away from the setting sun."""
    w = spot.size * 0.42
    b.spot(spot.x, spot.y, w, 1.6, (20, 20, 50), 0.3)
    if lean:
        x, y = spot.x, spot.y
        tongue = [(x - w * 0.7, y), (x + w * 0.7, y), (x + w * 0.4 + lean, y + 8), (x - w * 0.1 + lean, y + 8)]
        b.plain(tongue, (60, 20, 60), 0.28)


def meadow(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    b.role = "far"
    b.polygon(ridge(rng, HORIZON - 4, 2.6, 0.9), land.far)
    b.polygon(ridge(rng, HORIZON + 2, 1.8, 0.7), land.mid)
    b.role = "near"
    b.polygon(ridge(rng, HORIZON + 8, 0.8, 0.6), land.near)
    foreground(b, rng, dark(land.near, 0.86))
    side = -1 if spot.x > 32 else 1
    for dx, dy, petal in ((20, 9, (255, 250, 236)), (25, 5, (255, 226, 110)), (14, 12, (255, 226, 110))):
        b.spot(32 + side * dx, 48 + dy, 1.0, 1.0, lit(petal, b.sky.glow))
    if spot.subject == "boat":
        pond(b, spot)


def sea(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    far, near = mix(land.mid, b.sky.horizon, 0.35), mix(land.near, b.sky.middle, 0.12)
    b.role = "far"
    x = 50 - spot.x / 2 + rng.uniform(-6, 6)
    island = [(-17, 1), (-8, -3.5), (0, -2), (6, -5), (17, 1)]
    b.polygon([(x + dx, HORIZON + dy) for dx, dy in island], land.far)
    b.role = "near"
    b.polygon(below(HORIZON), far)
    for k in range(1, 9):
        b.plain(below(HORIZON + 3 * k), mix(far, near, k / 8))
    if b.sky.casts_glitter:
        x = spot.lamp
        for k, w in enumerate((7, 4.5, 6, 3.5, 5, 3)):
            y = HORIZON + 1.2 + 3 * k
            b.plain([(x - w, y), (x, y - 0.7), (x + w, y), (x, y + 0.7)], b.sky.lamp, 0.7 - 0.08 * k)
    if spot.subject not in ("boat", "balloon"):
        w = spot.size * 0.62
        b.disc(spot.x, spot.y + 0.4, w, 2.6, lit((232, 208, 150), b.sky.light))
        b.spot(spot.x, spot.y - 0.3, w * 0.86, 1.6, lit((128, 178, 84), b.sky.light))


def desert(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    b.role = "far"
    x = 46 - spot.x / 2 + rng.uniform(-5, 5)
    for dx, w, h in ((0, 9, 9), (17, 6, 6)):
        mesa = [(-w, 4), (-0.6 * w, -h), (0.6 * w, -h), (w, 4)]
        b.polygon([(x + dx + px, HORIZON + py) for px, py in mesa], land.far)
    b.polygon(ridge(rng, HORIZON + 1, 1.6, 0.8), land.mid)
    b.role = "near"
    b.polygon(ridge(rng, HORIZON + 8, 1.4, 0.5), land.near)
    foreground(b, rng, mix(land.near, land.mid, 0.55))
    x = 56 if spot.x < 33 else 8
    green = lit((66, 132, 78), mix(b.sky.light, (1, 1, 1), 0.2))
    for dx, low, high in ((0, 54, 43), (-3, 50, 46), (3, 49, 45)):
        b.plain([(x + dx - 1, low), (x + dx - 1, high), (x + dx + 1, high), (x + dx + 1, low)], green)
    b.plain([(x - 4, 50), (x + 4, 50), (x + 4, 48.4), (x - 4, 48.4)], green)
    if spot.subject == "boat":
        pond(b, spot)


def snow(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    b.role = "far"
    x = rng.uniform(-6, 6)
    peaks = [(-4, 38), (10 + x, 25), (22 + x, 35), (33 + x, 28), (44 + x, 36), (56 + x, 24), (70, 37)]
    b.polygon([*peaks, (SIDE + 4, 50), (-4, 50)], land.far)
    for px, py in peaks[1::2]:
        b.plain([(px, py), (px + 4.2, py + 3.8), (px + 1, py + 3), (px - 1, py + 4.4), (px - 4, py + 3.6)], land.near)
    b.polygon(ridge(rng, HORIZON + 2, 1.5, 0.8), land.mid)
    b.role = "near"
    b.polygon(ridge(rng, HORIZON + 8, 1.0, 0.6), land.near)
    foreground(b, rng, mix(land.near, land.mid, 0.7))
    x = 56 if spot.x < 33 else 8
    for dx, dy, h in ((0, 0, 12), (-6 if x > 32 else 6, -3, 8)):
        pine(b, x + dx, 51 + dy, h, lit((56, 104, 98), mix(b.sky.light, (1, 1, 1), 0.15)))
        b.plain([(x + dx, 51 + dy - h), (x + dx + 1, 51 + dy - h * 0.74), (x + dx - 1, 51 + dy - h * 0.74)], land.near)
    if spot.subject == "boat":
        pond(b, spot)


def forest(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    b.role = "far"
    shift = rng.uniform(-3, 3)
    for k in range(8):
        pine(b, shift + 9.2 * k, 46, 19 + 3 * math.sin(2.4 * k), land.far)
    b.plain([(-4, 41), (SIDE + 4, 41), (SIDE + 4, 50), (-4, 50)], mix(land.far, b.sky.haze, 0.35), 0.6)
    for k in range(6):
        if abs(5 + 11 * k - shift - spot.x) > 3:
            pine(b, 5 + 11 * k - shift, 50, 15 + 3 * math.cos(1.7 * k), land.mid)
    b.role = "near"
    b.polygon(ridge(rng, HORIZON + 9, 0.8, 0.6), land.near)
    foreground(b, rng, dark(land.near, 0.82))
    x = 61 if spot.x < 33 else 3
    pine(b, x, 60, 34, dark(land.mid, 0.62))
    if spot.subject == "boat":
        pond(b, spot)


def pond(b: Brush, spot: Spot) -> None:
    """Still water for a boat that is far from the sea, bright as the sky it mirrors."""
    b.disc(spot.x, spot.y + 0.3, spot.size * 0.62, 3.2, mix(lit((96, 164, 206), b.sky.light), b.sky.middle, 0.35))
    b.spot(spot.x, spot.y + 1.6, spot.size * 0.4, 0.8, light(b.sky.middle, 0.2), 0.6)


PLACES: dict[str, Callable[[Brush, Land, Random, Spot], None]] = {
    "meadow": meadow, "sea": sea, "desert": desert, "snow": snow, "forest": forest,
}  # fmt: skip
