r"""From a scene to its picture: sky, land, subject, weather, reflection, style."""

from random import Random

import numpy as np
from PIL import Image

from minidiffusion.picturebook.brush import SIDE, Brush
from minidiffusion.picturebook.palette import COLOURS, SKIES, lit
from minidiffusion.picturebook.places import PLACES, Spot, light_on, shadow
from minidiffusion.picturebook.scene import Scene, scene_of_page
from minidiffusion.picturebook.skies import AURORAS, PAINT, raindrops, sheet
from minidiffusion.picturebook.styles import STYLES
from minidiffusion.picturebook.subjects import LAMPS, SNOW_CAPS, SUBJECTS

X = {"left": 18.0, "centre": 32.0, "right": 46.0}
SIZE = {"small": (18.5, 51.0), "large": (31.5, 56.0)}  # its height, and where its foot is
RIPPLE = np.round(1.2 * np.sin(np.arange(SIDE) * 1.9)).astype(int)


def render(scene: Scene) -> np.ndarray:
    r"""The picture of a scene, uint8 of shape (64, 64, 3); the same scene gives the same picture, always.

    Position, weather and terrain have random numbers of their own: the same seed means the same clouds over every place
    and the same hills at every hour.
    """
    position, weather, terrain = (Random(3 * scene.seed + k) for k in range(3))
    style, sky = STYLES[scene.style], SKIES[scene.sky]
    size, foot = SIZE[scene.size]
    if scene.place == "sea":
        foot -= 2.5
    x, y = X[scene.side] + position.uniform(-1.3, 1.3), foot + position.uniform(-0.8, 0.8)
    lamp = {"left": 51, "right": 13, "centre": position.choice((12, 52))}[scene.side] + position.uniform(-2, 2)
    spot = Spot(scene.subject, x, y, size, lamp)

    brush = Brush(sheet(scene.style, scene.sky, scene.seed % AURORAS).copy(), style, sky)
    PAINT[scene.sky](brush, weather, lamp)
    PLACES[scene.place](brush, light_on(scene.place, sky), terrain, spot)
    if scene.place != "sea" and scene.subject != "boat":
        shadow(brush, spot, (spot.x - lamp) * 0.5 if scene.sky == "sunset" else 0)

    if sky.lamps_lit and scene.subject in LAMPS:
        height, reach = LAMPS[scene.subject]
        brush.glow(spot.x, spot.y - height * size, reach * size, (255, 206, 110), 0.45)
    brush.role = "subject"
    floating = size * (0.28 if scene.size == "small" else 0.16) if scene.subject == "balloon" else 0
    brush.stand(spot.x, spot.y - floating, size)
    SUBJECTS[scene.subject](brush, lit(COLOURS[scene.colour], sky.glow))
    if scene.place == "snow":
        for cap in SNOW_CAPS.get(scene.subject, ()):
            brush.plain(cap, lit((252, 253, 255), sky.glow))
    if scene.sky == "rain":
        raindrops(brush)

    picture = np.asarray(brush.canvas.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    if scene.place == "sea":
        picture = reflect(picture, round(spot.y + (0.5 if scene.subject == "boat" else 2.2)))
    return np.clip(style.finish(picture) + 0.5, 0, 255).astype(np.uint8)


def reflect(picture: np.ndarray, waterline: int) -> np.ndarray:
    """The picture with everything above the waterline mirrored, rippling and fading, in the water below it."""
    depth = np.arange(SIDE - waterline)
    rows = waterline - 1 - depth
    columns = np.clip(np.arange(SIDE)[None, :] + RIPPLE[depth][:, None], 0, SIDE - 1)
    mirrored = picture[rows[:, None], columns].astype(np.float32)
    strength = np.linspace(0.55, 0.25, len(depth), dtype=np.float32)[:, None, None]
    result = picture.copy()
    result[waterline:] = picture[waterline:] * (1 - strength) + mirrored * strength
    return result


def render_pages(pages: range, seed: int, split: str) -> np.ndarray:
    """Some pages of the picture book of this seed and split, uint8 (pages, 64, 64, 3): a task for one process."""
    return np.stack([render(scene_of_page(i, seed, split)) for i in pages])
