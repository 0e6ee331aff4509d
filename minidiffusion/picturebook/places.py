r"""The five places: the land in three distances, and what a subject needs to stand there.

A larger picture shows the same world and more of it: what is in the middle 64 units stays there, the terrain continues
in the same waves, and there are more things `beside` the middle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from .brush import Brush
from .palette import LANDS, Colour, Land, Number, Sky, dark, light, lit, mix
from .viewport import HORIZON, SIDE, Points


@dataclass(frozen=True)
class Spot:
    """The position of the subject."""

    subject: str
    x: Number
    y: Number  # its foot
    size: Number
    lamp: Number  # the x of the sun or moon


def light_on(place: str, sky: Sky) -> Land:
    """The place's colours under this sky: dimmed by its light, and fading into its haze with distance."""
    land = LANDS[place]
    return Land(
        mix(lit(land.near, sky.light), sky.haze, 0.0 if sky.light == (1, 1, 1) else 0.16),
        mix(lit(land.mid, sky.light), sky.haze, 0.2),
        mix(lit(land.far, sky.light), sky.haze, 0.55),
    )


def ridge(b: Brush, rng: Random, height: Number, swell: Number, waves: Number) -> Points:
    """The outline of the terrain from edge to edge: a long wave and a short one of half the height, of random phase."""
    long, short = rng.uniform(0, 6.28), rng.uniform(0, 6.28)
    turn = waves * 6.28 / SIDE
    tops = [
        (x, height - swell * (math.sin(long + turn * x) + 0.5 * math.sin(short + 1.9 * turn * x)))
        for x in range(b.left // 4 * 4 - 4, b.right + 5, 4)
    ]
    return [*tops, (b.right + 4, b.bottom + 4), (b.left - 4, b.bottom + 4)]


def below(b: Brush, y: Number) -> Points:
    """The part of the picture below y."""
    left, right, bottom = b.left - 4, b.right + 4, b.bottom + 4
    return [(left, y), (right, y), (right, bottom), (left, bottom)]


def foreground(b: Brush, rng: Random, colour: Colour) -> None:
    """A low ridge along the lower edge."""
    b.plain(ridge(b, rng, 60.0, 1.6, 0.55), colour)


def pine(b: Brush, x: Number, y: Number, h: Number, colour: Colour) -> None:
    w = h * 0.3
    b.polygon([(x - w, y), (x - w * 0.45, y - h * 0.42), (x - w * 0.62, y - h * 0.42), (x, y - h),
               (x + w * 0.62, y - h * 0.42), (x + w * 0.45, y - h * 0.42), (x + w, y)], colour)  # fmt: skip


def shadow(b: Brush, spot: Spot, lean: Number) -> None:
    """The subject's shadow: an ellipse at its foot, and a long one away from a setting sun."""
    w = spot.size * 0.42
    b.spot(spot.x, spot.y, w, 1.6, (20, 20, 50), 0.3)
    if lean:
        x, y = spot.x, spot.y
        tongue = [(x - w * 0.7, y), (x + w * 0.7, y), (x + w * 0.4 + lean, y + 8), (x - w * 0.1 + lean, y + 8)]
        b.plain(tongue, (60, 20, 60), 0.28)


def meadow(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    b.role = "far"
    b.polygon(ridge(b, rng, HORIZON - 4, 2.6, 0.9), land.far)
    b.polygon(ridge(b, rng, HORIZON + 2, 1.8, 0.7), land.mid)
    b.role = "near"
    b.polygon(ridge(b, rng, HORIZON + 8, 0.8, 0.6), land.near)
    foreground(b, rng, dark(land.near, 0.86))
    side = -1 if spot.x > 32 else 1
    for dx, dy, petal in ((20, 9, (255, 250, 236)), (25, 5, (255, 226, 110)), (14, 12, (255, 226, 110))):
        b.spot(32 + side * dx, 48 + dy, 1.0, 1.0, lit(petal, b.sky.glow))
    for k, x in enumerate(b.beside(12)):
        petal = ((255, 250, 236), (255, 226, 110))[k % 2]
        b.spot(x, b.chance.uniform(52, 61), 1.0, 1.0, lit(petal, b.sky.glow))
    if spot.subject == "boat":
        pond(b, spot)


def sea(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    far, near = mix(land.mid, b.sky.horizon, 0.35), mix(land.near, b.sky.middle, 0.12)
    b.role = "far"
    x = 50 - spot.x / 2 + rng.uniform(-6, 6)
    island = [(-17, 1), (-8, -3.5), (0, -2), (6, -5), (17, 1)]
    b.polygon([(x + dx, HORIZON + dy) for dx, dy in island], land.far)
    for x in b.beside(56):
        b.polygon([(x - 0.5 * dx, HORIZON + 0.6 * dy) for dx, dy in island], land.far)
    b.role = "near"
    b.polygon(below(b, HORIZON), far)
    for k in range(1, 9):
        b.plain(below(b, HORIZON + 3 * k), mix(far, near, k / 8))
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
    mesas = [(x, 9, 9), (x + 17, 6, 6), *((x, b.chance.uniform(6, 9), b.chance.uniform(4, 9)) for x in b.beside(28))]
    for x, w, h in mesas:
        mesa = [(-w, 4), (-0.6 * w, -h), (0.6 * w, -h), (w, 4)]
        b.polygon([(x + px, HORIZON + py) for px, py in mesa], land.far)
    b.polygon(ridge(b, rng, HORIZON + 1, 1.6, 0.8), land.mid)
    b.role = "near"
    b.polygon(ridge(b, rng, HORIZON + 8, 1.4, 0.5), land.near)
    foreground(b, rng, mix(land.near, land.mid, 0.55))
    cactus(b, 56 if spot.x < 33 else 8, 54, 1)
    for x in b.beside(36):
        cactus(b, x, b.chance.uniform(50, 57), b.chance.choice((-0.8, 0.9)))
    if spot.subject == "boat":
        pond(b, spot)


def cactus(b: Brush, x: Number, y: Number, size: Number) -> None:
    """Its foot is at (x, y); if `size` is negative its other arm is the higher one."""
    green, tall = lit((66, 132, 78), mix(b.sky.light, (1, 1, 1), 0.2)), abs(size)
    for left, low, right, high in ((-1, 0, 1, 11), (-4, 4, -2, 8), (2, 5, 4, 9), (-4, 4, 4, 5.6)):
        left, right, low, high = x + left * size, x + right * size, y - low * tall, y - high * tall
        b.plain([(left, low), (left, high), (right, high), (right, low)], green)


def snow(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    b.role = "far"
    x = rng.uniform(-6, 6)
    peaks: Points = [(10 + x, 25), (33 + x, 28), (56 + x, 24)]
    valleys: Points = [(-4, 38), (22 + x, 35), (44 + x, 36), (70, 37)]
    for px in b.beside(24):
        peaks.append((px, b.chance.uniform(24, 30)))
        valleys.append((px + (12 if px > 32 else -12), 36))
    b.polygon([*sorted(peaks + valleys), (b.right + 4, 50), (b.left - 4, 50)], land.far)
    for px, py in peaks:
        b.plain([(px, py), (px + 4.2, py + 3.8), (px + 1, py + 3), (px - 1, py + 4.4), (px - 4, py + 3.6)], land.near)
    b.polygon(ridge(b, rng, HORIZON + 2, 1.5, 0.8), land.mid)
    b.role = "near"
    b.polygon(ridge(b, rng, HORIZON + 8, 1.0, 0.6), land.near)
    foreground(b, rng, mix(land.near, land.mid, 0.7))
    x = 56 if spot.x < 33 else 8
    green = lit((56, 104, 98), mix(b.sky.light, (1, 1, 1), 0.15))
    firs = [(x, 51, 12), (x - 6 if x > 32 else x + 6, 48, 8)]
    firs += [(x, b.chance.uniform(48, 54), b.chance.uniform(7, 12)) for x in b.beside(14)]
    for x, y, h in firs:
        pine(b, x, y, h, green)
        b.plain([(x, y - h), (x + 1, y - h * 0.74), (x - 1, y - h * 0.74)], land.near)
    if spot.subject == "boat":
        pond(b, spot)


def forest(b: Brush, land: Land, rng: Random, spot: Spot) -> None:
    b.role = "far"
    shift = rng.uniform(-3, 3)
    for k in b.row(0, 9.2):
        pine(b, shift + 9.2 * k, 46, 19 + 3 * math.sin(2.4 * k), land.far)
    mist: Points = [(b.left - 4, 41), (b.right + 4, 41), (b.right + 4, 50), (b.left - 4, 50)]
    b.plain(mist, mix(land.far, b.sky.haze, 0.35), 0.6)
    for k in b.row(5, 11):
        if abs(5 + 11 * k - shift - spot.x) > 3:
            pine(b, 5 + 11 * k - shift, 50, 15 + 3 * math.cos(1.7 * k), land.mid)
    b.role = "near"
    b.polygon(ridge(b, rng, HORIZON + 9, 0.8, 0.6), land.near)
    foreground(b, rng, dark(land.near, 0.82))
    for x in b.beside(40):
        pine(b, x, 57, b.chance.uniform(20, 28), dark(land.mid, 0.75))
    pine(b, 61 if spot.x < 33 else 3, 60, 34, dark(land.mid, 0.62))
    if spot.subject == "boat":
        pond(b, spot)


def pond(b: Brush, spot: Spot) -> None:
    """A pond for a boat that is not at sea, in the colour of the sky."""
    b.disc(spot.x, spot.y + 0.3, spot.size * 0.62, 3.2, mix(lit((96, 164, 206), b.sky.light), b.sky.middle, 0.35))
    b.spot(spot.x, spot.y + 1.6, spot.size * 0.4, 0.8, light(b.sky.middle, 0.2), 0.6)


PLACES: dict[str, Callable[[Brush, Land, Random, Spot], None]] = {
    "meadow": meadow, "sea": sea, "desert": desert, "snow": snow, "forest": forest,
}  # fmt: skip
