r"""Six art styles: their fills, lines and shadows, and what each does to the finished picture.

Textures are fixed: all pictures of a style have the same paper. A decoder can learn it once, whereas noise that differs
in every picture cannot be reproduced from a short code.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from .palette import WHITE, Colour, Number, dark, mix
from .viewport import SIDE, Points, Viewport

PAPER: Colour = (250, 245, 234)


def smooth_noise(view: Viewport, seed: int, cells: int) -> np.ndarray:
    """Fixed smooth noise in about -1..1, float32 of shape (h, w, 1), with `cells` cells to 64 units."""
    shape = round(cells * view.height / SIDE), round(cells * view.width / SIDE)
    coarse = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize(view.size(view.scale), Image.Resampling.BICUBIC))[..., None]


def blur(picture: np.ndarray, by: int) -> np.ndarray:
    """A wide, cheap blur: average blocks of `by` pixels and interpolate between them. uint8 in, float32 out."""
    whole = Image.fromarray(picture)
    return np.asarray(whole.reduce(by).resize(whole.size, Image.Resampling.BICUBIC), dtype=np.float32)


def edge_distance(view: Viewport) -> np.ndarray:
    """The distance of each pixel from the nearest edge, in units, shape (h, w, 1)."""
    across, down = (
        (np.minimum(np.arange(n), n - 1 - np.arange(n)).astype(np.float32) + 0.5) / view.scale
        for n in view.size(view.scale)
    )
    return np.minimum(down[:, None], across[None, :])[..., None]


def vignette(view: Viewport, strength: Number) -> np.ndarray:
    """1 in the middle, and about `strength` darker in the corners, shape (h, w, 1)."""
    across, down = (np.linspace(-1, 1, n, dtype=np.float32) for n in view.size(view.scale))
    return 1 - strength * (down[:, None, None] ** 2 + across[None, :, None] ** 2) ** 1.5 / 2.8


def widths(subject: Number, land: Number = 0.0, sky: Number = 0.0, lamp: Number = 0.0) -> dict[str, Number]:
    """The width of the outline of each role, in pixels. The lamp is the sun or the moon."""
    return {"sky": sky, "lamp": lamp, "far": land, "near": land, "subject": subject}


class Style:
    """Storybook gouache, and the base class: opaque fills, outlined in a darker shade of their own colour."""

    width = widths(subject=0.55)

    def __init__(self, view: Viewport) -> None:
        grain = 1 + 0.018 * smooth_noise(view, 1, 32) + 0.02 * smooth_noise(view, 2, 9)
        self.texture = grain * vignette(view, 0.1)

    def fill(self, colour: Colour, role: str) -> Colour:
        """The fill of a shape of this colour."""
        return colour

    def stroke(self, colour: Colour, role: str) -> Colour:
        """The colour of a free line, or of a lit window, of this colour."""
        return self.fill(colour, role)

    def line(self, colour: Colour, role: str) -> Colour | None:
        """The outline of a shape of this colour, or None."""
        return dark(colour, 0.6) if role == "subject" else None

    def shadow(self, draw: ImageDraw.ImageDraw, outlines: list[Points], role: str, zoom: int) -> None:
        """Draws the shadow of a shape, before the shape itself; none by default."""

    def finish(self, picture: np.ndarray) -> np.ndarray:
        """From the averaged picture, uint8 (h, w, 3), to the finished one, float32 in 0..255."""
        return picture * self.texture


class Watercolor(Style):
    """Thin washes on white paper: pale, uneven, darker near the edges, with a ragged border."""

    width = widths(subject=0.45, land=0.4)

    def __init__(self, view: Viewport) -> None:
        bloom = 0.6 * smooth_noise(view, 11, 5) + 0.4 * smooth_noise(view, 12, 12)
        ragged = edge_distance(view) + 0.9 * smooth_noise(view, 13, 9) + 0.5 * smooth_noise(view, 14, 21)
        self.wash = np.clip(0.93 + 0.16 * bloom, 0, 1) * np.clip((ragged - 2.2) / 1.4, 0, 1)
        self.rim = 1 - 0.12 * np.exp(-((ragged - 4.2) ** 2))

    def fill(self, colour: Colour, role: str) -> Colour:
        return mix(colour, WHITE, 0.04 if role == "subject" else 0.2)

    def line(self, colour: Colour, role: str) -> Colour | None:
        if role == "subject":
            return dark(colour, 0.72)
        return None if role in ("sky", "lamp") else dark(mix(colour, WHITE, 0.12), 0.88)

    def finish(self, picture: np.ndarray) -> np.ndarray:
        paper = np.array(PAPER, dtype=np.float32)
        return paper + (picture * self.rim - paper) * self.wash


class Ink(Style):
    """Pen and ink: dark outlines, filled with a light wash of colour."""

    PEN: Colour = (46, 42, 60)
    width = widths(subject=0.7, land=0.5, sky=0.5, lamp=0.6)

    def __init__(self, view: Viewport) -> None:
        frame = np.floor(edge_distance(view)) + 0.5  # a ruled line: its edges are hard at any scale
        self.inside = np.clip((frame - 2.0) / 1.0, 0, 1)
        self.pen = 0.75 * np.clip(1 - np.abs(frame - 2.5) / 0.9, 0, 1)
        self.texture = 1 + 0.012 * smooth_noise(view, 21, 32)

    def fill(self, colour: Colour, role: str) -> Colour:
        return mix(colour, PAPER, {"subject": 0.06, "sky": 0.24, "lamp": 0.1}.get(role, 0.36))

    def line(self, colour: Colour, role: str) -> Colour | None:
        return mix(self.PEN, colour, {"subject": 0.0, "near": 0.35}.get(role, 0.5))

    def finish(self, picture: np.ndarray) -> np.ndarray:
        paper, pen = np.array(PAPER, dtype=np.float32), np.array(self.PEN, dtype=np.float32)
        page = (paper + (picture - paper) * self.inside) * self.texture
        return page + (pen - page) * self.pen


class PixelArt(Style):
    """Pixel art: squares two units wide in a limited palette, with dark outlines."""

    LEVELS = 15
    width = widths(subject=1.1)

    def __init__(self, view: Viewport) -> None:
        self.square = 2 * view.scale
        steps = np.round(np.arange(256) / 255 * self.LEVELS) * 255 / self.LEVELS
        self.palette = steps.astype(np.float32)

    def line(self, colour: Colour, role: str) -> Colour | None:
        return dark(colour, 0.5) if role == "subject" else None

    def finish(self, picture: np.ndarray) -> np.ndarray:
        squares = np.asarray(Image.fromarray(picture).reduce(self.square))
        return self.palette[squares].repeat(self.square, axis=0).repeat(self.square, axis=1)


class Neon(Style):
    """Neon tubes in the dark: glowing outlines, with dim fills of the same colour."""

    width = widths(subject=0.8, land=0.6, sky=0.7)

    def __init__(self, view: Viewport) -> None:
        self.reach = 4 * view.scale
        self.vignette = vignette(view, 0.35)

    def fill(self, colour: Colour, role: str) -> Colour:
        if role == "subject":
            return dark(colour, 0.56)
        if role == "lamp":
            return colour
        return dark(vivid(colour, 0.3), 0.5) if role == "sky" else dark(colour, 0.2)

    def stroke(self, colour: Colour, role: str) -> Colour:
        return colour

    def line(self, colour: Colour, role: str) -> Colour | None:
        return brilliant(colour) if role in ("far", "near") else mix(colour, WHITE, 0.1)

    def finish(self, picture: np.ndarray) -> np.ndarray:
        return (picture + 0.55 * blur(picture, self.reach)) * self.vignette


def vivid(colour: Colour, purity: Number) -> Colour:
    """A purer colour of the same brightness: without the fraction `purity` of its grey component."""
    low, high = min(colour), max(colour)
    r, g, b = ((part - purity * low) * high / (high - purity * low) for part in colour)
    return r, g, b


def brilliant(colour: Colour) -> Colour:
    """A purer colour at the brightness of a neon tube."""
    r, g, b = vivid(colour, 0.6)
    peak = max(r, g, b)
    return r * 225 / peak, g * 225 / peak, b * 225 / peak


class PaperCut(Style):
    """Layers of cut paper: each has a pale edge and casts a soft shadow on the layers below."""

    width = widths(subject=0.4, land=0.45, sky=0.4, lamp=0.4)

    def __init__(self, view: Viewport) -> None:
        self.texture = (1 + 0.014 * smooth_noise(view, 31, 32)) * vignette(view, 0.12)
        self.height = {"sky": 0.6, "lamp": 0.8, "far": 1.0, "near": 1.2, "subject": 0.7}  # above the layer below

    def line(self, colour: Colour, role: str) -> Colour | None:
        return mix(colour, WHITE, 0.25)

    def shadow(self, draw: ImageDraw.ImageDraw, outlines: list[Points], role: str, zoom: int) -> None:
        reach = self.height[role] * zoom
        for dx, dy in ((1.0, 0.7), (-0.5, -1.1), (0.5, 1.3)):
            for outline in outlines:
                draw.polygon([(x + dx * reach, y + dy * reach) for x, y in outline], fill=(14, 12, 40, 46))


STYLES: dict[str, type[Style]] = {
    "storybook": Style,
    "watercolor": Watercolor,
    "ink": Ink,
    "pixel art": PixelArt,
    "neon": Neon,
    "paper cut": PaperCut,
}


@cache
def make_style(style: str, view: Viewport) -> Style:
    """The style for this viewport; its textures are computed once."""
    return STYLES[style](view)
