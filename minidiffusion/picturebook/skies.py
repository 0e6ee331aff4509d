r"""The five skies: a gradient, computed once for each style, and the sun, moon, stars, clouds and aurora on it.

In a tall picture the gradient is stretched, but not the things in the sky: more of them fill the patches `beyond` the
plain picture, above it and on both sides.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from random import Random

import numpy as np
from PIL import Image

from .brush import Brush, arc
from .palette import SKIES, WHITE, Colour, Number, mix
from .styles import make_style
from .viewport import HORIZON, SIDE, Points, Viewport

STARS = ((7, 8), (16, 18), (24, 6), (33, 14), (41, 4), (47, 20), (57, 9), (60, 25), (4, 27), (29, 25))
CRESCENT = [(6.5 * math.cos(a), 6.5 * math.sin(a)) for a in np.linspace(0.35, 5.05, 18)] + [
    (2.4 + 4.9 * math.cos(a), -1.5 + 4.9 * math.sin(a)) for a in np.linspace(4.75, 0.65, 14)
]
AURORAS = 8  # different northern lights


def empty_sky(view: Viewport, left: int, style: str, sky: str, variant: int) -> Image.Image:
    """A canvas with the sky alone, which begins at x = `left`."""
    start = (left + view.width - SIDE) * view.zoom
    width, height = view.size(view.zoom)
    return whole_sky(view, style, sky, variant).crop((start, 0, start + width, height))


@lru_cache(maxsize=360)  # five shapes: each has 72, of 0.3 MB at 64 x 64 and of 3 MB at most
def whole_sky(view: Viewport, style: str, sky: str, variant: int) -> Image.Image:
    """The sky of all viewports of this shape: a gradient from zenith to horizon, strips of paper, or steps of pixels.

    A viewport begins at x = 0 or up to width - 64 left of it.
    """
    hour, height, margin = SKIES[sky], HORIZON - view.top, view.width - SIDE
    columns, rows = (np.arange(n * view.zoom) + 0.5 for n in (margin + view.width, view.height))
    x, y = np.meshgrid(columns / (SIDE * view.zoom) - margin / SIDE, rows / (SIDE * view.zoom))  # in 64 units
    t, shade = np.clip(y * SIDE / height, 0, 1), np.ones_like(x)
    if style == "paper cut":
        strips = round(height / 10)
        wave = y * SIDE / height + 0.2 / strips * np.sin(2 * np.pi * x * 1.5 + 1)
        t = np.clip(np.floor(wave * strips) / (strips - 1), 0, 1)
        shade = 1 - 0.16 * np.exp(-(1 - (wave * strips) % 1) * 6)
    elif style == "pixel art":
        t = np.round(t * 6) / 6
    stops = [make_style(style, view).fill(c, "sky") for c in (hour.zenith, hour.middle, hour.horizon)]
    picture = np.stack([np.interp(t, (0, 0.55, 1), [stop[k] for stop in stops]) for k in range(3)], axis=-1)
    if sky == "aurora":
        picture = curtains(picture, x * (SIDE / view.width), y * (HORIZON / height), variant)
    if style == "watercolor":
        bloom = 0.5 + 0.5 * np.sin(5 * x + 2 * np.sin(6 * y)) * np.sin(7 * y + 1)
        picture += (255 - picture) * (0.14 * bloom)[..., None]
    return Image.fromarray(np.clip(picture * shade[..., None], 0, 255).astype(np.uint8))


def curtains(picture: np.ndarray, x: np.ndarray, y: np.ndarray, variant: int) -> np.ndarray:
    """Northern lights: two wavy bands, which fade upwards from green into violet."""
    rng = np.random.default_rng(variant)
    for height, colour, top in ((0.42, (70, 245, 150), (60, 150, 200)), (0.27, (90, 235, 190), (170, 90, 210))):
        a, b = rng.uniform(0, 6.28, 2)
        hem = height + 0.07 * np.sin(a + 6.28 * x) + 0.03 * np.sin(b + 12.6 * x)
        above = (hem - y) / 0.26
        folds = 0.72 + 0.28 * np.sin(2 * a + 9 * x) ** 2
        glow = folds * np.where(above > 0, np.exp(-2.2 * above), np.exp(14 * above))
        hue = np.clip(above, 0, 1)[..., None]
        picture = picture + (np.array(colour) * (1 - hue) + np.array(top) * hue - picture) * (0.8 * glow)[..., None]
    return picture


def cloud(b: Brush, x: Number, y: Number, w: Number, colour: Colour) -> None:
    left, right = (x - w * 0.55, y, w * 0.45, w * 0.2), (x + w * 0.5, y, w * 0.5, w * 0.2)
    b.blob([left, right, (x - w * 0.1, y - w * 0.17, w * 0.45, w * 0.32)], colour)


def shine(b: Brush, shape: Points, x: Number, y: Number, reach: Number, opacity: Number) -> None:
    """The sun or the moon, of this shape, with a glow around (x, y)."""
    b.glow(x, y, reach, b.sky.lamp, opacity)
    b.role = "lamp"
    b.polygon(shape, b.sky.lamp)
    b.role = "sky"


def risen(b: Brush, y: Number) -> Number:
    """The y in this sky of what is at `y` in the plain picture's: as far up in proportion."""
    return y + b.top * (1 - y / HORIZON)


def beyond(b: Brush, wide: int) -> Points:
    """A point in each patch of sky, `wide` wide and 26 high, that is above or beside the plain picture."""
    return [
        (x + b.chance.uniform(-0.3, 0.3) * wide, y + b.chance.uniform(-10, 10))
        for y in range(13, b.top - 13, -26)
        for x in range(b.left // wide * wide + wide // 2, b.right + wide // 2, wide)
        if not (0 < x < SIDE and y > 0)
    ]


def day(b: Brush, rng: Random, lamp: Number) -> None:
    y = risen(b, 12 + rng.uniform(-1.5, 1.5))
    shine(b, arc(lamp, y, 6, 6), lamp, y, 15, 0.75)
    x = rng.uniform(-4, 4)
    cloud(b, 64 - lamp + x, 9 + rng.uniform(-2, 2), 10, mix(WHITE, b.sky.middle, 0.12))
    cloud(b, 32 - x, 22 + rng.uniform(-2, 2), 7, mix(WHITE, b.sky.middle, 0.22))
    for x, y in beyond(b, 32):
        cloud(b, x, y, b.chance.uniform(6, 10), mix(WHITE, b.sky.middle, 0.17))


def night(b: Brush, rng: Random, lamp: Number) -> None:
    y = risen(b, 13 + rng.uniform(-1.5, 1.5))
    stars(b, 10, lamp, y)
    shine(b, [(lamp + dx, y + dy) for dx, dy in CRESCENT], lamp, y, 15, 0.35)


def sunset(b: Brush, rng: Random, lamp: Number) -> None:
    y = HORIZON - 9 + rng.uniform(-1, 1)
    shine(b, arc(lamp, y, 8.5, 8.5), lamp, y, 24, 0.6)
    more = [(x, y, b.chance.uniform(9, 18)) for x, y in beyond(b, 64)]
    for x, y, w in ((44, 9, 22), (18, 16, 15), *more):
        x += rng.uniform(-5, 5)
        wisp = [(-1, 0), (-0.3, -1.5), (0.5, -1.2), (1, 0.4), (0.2, 1.5)]
        b.plain([(x + dx * w, y + dy) for dx, dy in wisp], (255, 170, 150), 0.75)


def rain(b: Brush, rng: Random, lamp: Number) -> None:
    x = rng.uniform(-3, 3)
    for bank, k in product(range(2 if b.top < 0 else 1), b.row(6, 17.5)):
        y = b.top + 5 + 27 * bank + 2 * (k % 2)
        cloud(b, 6 + 17.5 * k + x - 8 * bank, y, 14, (86, 106, 132) if k % 2 else (106, 126, 150))


def aurora(b: Brush, rng: Random, lamp: Number) -> None:
    stars(b, 6, -99, 0)  # no moon


def stars(b: Brush, n: int, lamp: Number, height: Number) -> None:
    """n stars in the plain picture's sky, with the same density beyond it, and none in front of the moon."""
    more = [star for _ in range(n // 4) for star in beyond(b, 16)]
    for x, y in (*STARS[:n], *more):
        if abs(x - lamp) > 9 or abs(y - height) > 17:
            b.spot(x, y, 0.85, 0.85, (255, 252, 226), 0.85)


def raindrops(b: Brush) -> None:
    """Slanted drops, the same in every picture, drawn in front of everything else."""
    b.stand(0, 0, 1)
    for column, row, k in product(range(b.left // SIDE, -(-b.right // SIDE)), range(1 - b.top // 44), range(14)):
        x, y = 64 * column + (k * 23 + 29 * row) % 64, 13 - 44 * row + (k * 17 + 22 * column) % 44
        if y >= b.top + 13:
            line = b.on_canvas([(x, -y), (x - 1.6, -y - 5)])
            b.draw.line(line, fill=(226, 236, 246, 120), width=3 * b.view.scale)


PAINT: dict[str, Callable[[Brush, Random, Number], None]] = {
    "day": day, "night": night, "sunset": sunset, "rain": rain, "aurora": aurora,
}  # fmt: skip
