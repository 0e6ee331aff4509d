r"""Rendering: from a scene to its picture, through sky, land, subject, weather, reflection and style."""

from dataclasses import astuple
from random import Random

import numpy as np
from PIL import Image

from .brush import Brush
from .palette import COLOURS, SKIES, lit
from .places import PLACES, Spot, light_on, shadow
from .scene import Scene, Split, scene_of_page
from .skies import AURORAS, PAINT, empty_sky, raindrops
from .styles import make_style
from .subjects import LAMPS, SNOW_CAPS, SUBJECTS
from .viewport import SIDE, Viewport

X = {"left": 18.0, "centre": 32.0, "right": 46.0}
SIZE = {"small": (18.5, 51.0), "large": (31.5, 56.0)}  # the height of the subject, and the y of its foot


def render(scene: Scene, width: int = SIDE, height: int = SIDE, scale: int = 1) -> np.ndarray:
    r"""The picture of a scene, uint8 (scale * height, scale * width, 3). Deterministic.

    Position, weather and terrain have separate random numbers: a seed has the same clouds over every place and the same
    terrain under every sky. A wider or taller picture shows more of the world around the plain 64 x 64 one, with the
    subject as far to the left or right in proportion; `scale` 2 is the same picture in twice the resolution. Raises
    UserError for a shape that `Viewport` does not have.
    """
    view = Viewport(width, height, scale)
    position, weather, terrain = (Random(3 * scene.seed + k) for k in range(3))
    style, sky = make_style(scene.style, view), SKIES[scene.sky]
    size, foot = SIZE[scene.size]
    if scene.place == "sea":
        foot -= 2.5
    x, y = X[scene.side] + position.uniform(-1.3, 1.3), foot + position.uniform(-0.8, 0.8)
    lamp = {"left": 51, "right": 13, "centre": position.choice((12, 52))}[scene.side] + position.uniform(-2, 2)
    spot = Spot(scene.subject, x, y, size, lamp)

    left = -2 * round((width - SIDE) * X[scene.side] / SIDE / 2)  # even, for the squares of pixel art
    canvas = empty_sky(view, left, scene.style, scene.sky, scene.seed % AURORAS)
    brush = Brush(canvas, view, left, style, sky, Random(f"beyond {scene.seed}"))
    PAINT[scene.sky](brush, weather, lamp)
    PLACES[scene.place](brush, light_on(scene.place, sky), terrain, spot)
    if scene.place != "sea" and scene.subject != "boat":
        shadow(brush, spot, (spot.x - lamp) * 0.5 if scene.sky == "sunset" else 0)

    if sky.lamps_lit and scene.subject in LAMPS:
        above, reach = LAMPS[scene.subject]
        brush.glow(spot.x, spot.y - above * size, reach * size, (255, 206, 110), 0.45)
    brush.role = "subject"
    floating = size * (0.28 if scene.size == "small" else 0.16) if scene.subject == "balloon" else 0
    brush.stand(spot.x, spot.y - floating, size)
    SUBJECTS[scene.subject](brush, lit(COLOURS[scene.colour], sky.glow))
    if scene.place == "snow":
        for cap in SNOW_CAPS.get(scene.subject, ()):
            brush.plain(cap, lit((252, 253, 255), sky.glow))
    if scene.sky == "rain":
        raindrops(brush)

    picture = np.asarray(brush.canvas.resize(view.size(scale), Image.Resampling.BILINEAR))
    if scene.place == "sea":
        waterline = round(spot.y + (0.5 if scene.subject == "boat" else 2.2))
        picture = reflect(picture, scale * (waterline - view.top), scale)
    return np.clip(style.finish(picture) + 0.5, 0, 255).astype(np.uint8)


def reflect(picture: np.ndarray, waterline: int, scale: int) -> np.ndarray:
    """The picture with the part above the waterline reflected in the water below it, with ripples and fading."""
    height, width = picture.shape[:2]
    depth = np.arange(height - waterline)
    rows = waterline - 1 - depth
    ripple = np.round(1.2 * np.sin(depth // scale * 1.9)).astype(int) * scale
    columns = np.clip(np.arange(width) + ripple[:, None], 0, width - 1)
    mirrored = picture[rows[:, None], columns].astype(np.float32)
    strength = np.linspace(0.55, 0.25, len(depth), dtype=np.float32)[:, None, None]
    result = picture.copy()
    result[waterline:] = picture[waterline:] * (1 - strength) + mirrored * strength
    return result


def render_pages(pages: range, seed: int, split: Split, view: Viewport) -> np.ndarray:
    """Some pages of the picture book of this seed and split, uint8 (pages, h, w, 3); the task of a worker process."""
    return np.stack([render(scene_of_page(i, seed, split), *astuple(view)) for i in pages])
