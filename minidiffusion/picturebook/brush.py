r"""The brush: drawing primitives in the colours and outlines of a style.

It draws on a canvas four times as wide as the picture, which is averaged down afterwards for antialiasing. Points are
in the coordinates of the world (`viewport.py`) until `stand` moves the origin to a subject's foot, with y up and the
subject's size as the unit.
"""

import math
from functools import cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from .palette import Colour, Number, Sky
from .styles import Style
from .viewport import SIDE, Points, Viewport


class Brush:
    """Draws shapes on `canvas` in a style, under a sky; `role` is the kind of thing being drawn (see `styles.widths`).

    The viewport begins at x = `left`; `chance` draws the random numbers for what is outside the plain picture.
    """

    def __init__(self, canvas: Image.Image, view: Viewport, left: int, style: Style, sky: Sky, chance: Random):
        self.canvas, self.view, self.style, self.sky, self.chance = canvas, view, style, sky, chance
        self.left, self.right, self.top, self.bottom = left, left + view.width, view.top, view.bottom
        self.zoom = view.zoom
        self.draw = ImageDraw.Draw(canvas, "RGBA")  # a fourth number in a colour is its opacity
        self.role = "sky"
        self.x, self.y, self.unit, self.flip, self.thick = 0.0, 0.0, 1.0, 1.0, 1.0

    def stand(self, x: Number, y: Number, size: Number) -> None:
        """From now on points are relative to (x, y): y up, lengths in units of `size`."""
        self.x, self.y, self.unit, self.flip = x, y, size, -1.0
        self.thick = 0.8 + size / 80  # a larger subject has thicker outlines, but not in proportion

    def on_canvas(self, points: Points) -> Points:
        u, v = self.unit * self.zoom, self.unit * self.zoom * self.flip
        x, y = (self.x - self.left) * self.zoom, (self.y - self.top) * self.zoom
        return [(x + px * u, y + py * v) for px, py in points]

    def row(self, first: Number, step: Number) -> range:
        """The indices k of those things in a row, at first + k step, that are between the edges."""
        return range(round((self.left - first) / step), round((self.right - first) / step) + 1)

    def beside(self, step: int) -> list[Number]:
        """x about every `step` to the left and right of the plain picture."""
        half = step // 2
        places = [*range(-half, self.left - half, -step), *range(SIDE + half, self.right + half, step)]
        return [x + self.chance.uniform(-0.2, 0.2) * step for x in places]

    def polygon(self, points: Points, colour: Colour) -> None:
        """A shape with the style's shadow, fill and outline."""
        outline = self.on_canvas(points)
        self.style.shadow(self.draw, [outline], self.role, self.zoom)
        self.draw.polygon(outline, fill=rgba(self.style.fill(colour, self.role)))
        line = self.style.line(colour, self.role)
        if line is not None:
            self.draw.line([*outline, outline[0]], fill=rgba(line), width=self._width(), joint="curve")

    def box(self, left: Number, low: Number, right: Number, high: Number, colour: Colour) -> None:
        self.polygon([(left, low), (right, low), (right, high), (left, high)], colour)

    def disc(self, x: Number, y: Number, rx: Number, ry: Number, colour: Colour) -> None:
        self.polygon(arc(x, y, rx, ry), colour)

    def plain(self, points: Points, colour: Colour, opacity: Number = 1.0) -> None:
        """A shape without outline: a highlight, a shadow, a window bar."""
        fill = self.style.fill(colour, self.role)
        self.draw.polygon(self.on_canvas(points), fill=rgba(fill, opacity))

    def spot(self, x: Number, y: Number, rx: Number, ry: Number, colour: Colour, opacity: Number = 1.0) -> None:
        """A plain disc."""
        self.plain(arc(x, y, rx, ry, 14), colour, opacity)

    def stroke(self, points: Points, colour: Colour, width: Number) -> None:
        """A line, `width` in the units of the points."""
        fill, wide = self.style.stroke(colour, self.role), self._pixels(max(0.5, width * self.unit))
        self.draw.line(self.on_canvas(points), fill=rgba(fill), width=wide, joint="curve")

    def tube(self, points: Points, colour: Colour, width: Number) -> None:
        """A thick line with the style's outline on both sides."""
        line = self.style.line(colour, self.role)
        wide = self._pixels(width * self.unit)
        if line is not None:
            self.draw.line(self.on_canvas(points), fill=rgba(line), width=wide + 2 * self._width(), joint="curve")
        self.draw.line(self.on_canvas(points), fill=rgba(self.style.fill(colour, self.role)), width=wide, joint="curve")

    def blob(self, discs: list[tuple[Number, Number, Number, Number]], colour: Colour) -> None:
        """A union of discs with one outline: all outlines first, then the fills over their inner parts."""
        outlines = [self.on_canvas(arc(*disc, 20)) for disc in discs]
        self.style.shadow(self.draw, outlines, self.role, self.zoom)
        line = self.style.line(colour, self.role)
        if line is not None:
            for outline in outlines:
                self.draw.line([*outline, outline[0]], fill=rgba(line), width=2 * self._width())
        fill = rgba(self.style.fill(colour, self.role))
        for outline in outlines:
            self.draw.polygon(outline, fill=fill)

    def window(self, x: Number, y: Number, w: Number, h: Number) -> None:
        """A window centred on (x, y), yellow if the sky's `lamps_lit`."""
        pane = self.on_canvas([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)])
        if self.sky.lamps_lit:
            self.draw.polygon(pane, fill=rgba(self.style.stroke((255, 226, 120), self.role)))
        else:
            self.draw.polygon(pane, fill=rgba(self.style.fill((66, 84, 118), self.role)))

    def glow(self, x: Number, y: Number, radius: Number, colour: Colour, opacity: Number) -> None:
        """Soft light around (x, y) in the world, which fades to nothing at `radius`."""
        r = round(radius * self.zoom)
        left, top = round((x - self.left) * self.zoom) - r, round((y - self.top) * self.zoom) - r
        mask = halo(r, round(opacity * 100))
        self.canvas.paste(rgba(colour)[:3], (left, top, left + 2 * r, top + 2 * r), mask)

    def _width(self) -> int:
        return self._pixels(max(0.25, self.style.width[self.role] * self.thick))

    def _pixels(self, width: Number) -> int:
        """A line's width on the canvas, rounded as at scale 1, so that larger pictures have the same lines."""
        return round(4 * width) * self.view.scale


@cache
def halo(radius: int, percent: int) -> Image.Image:
    """A mask that is `percent` opaque in the middle and fades smoothly to nothing at `radius`."""
    ramp = (np.arange(2 * radius) + 0.5) / radius - 1
    distance = np.minimum(ramp[:, None] ** 2 + ramp[None, :] ** 2, 1)
    return Image.fromarray((255 * percent / 100 * (1 - distance) ** 2).astype(np.uint8))


def rgba(colour: Colour, opacity: Number = 1.0) -> tuple[int, int, int, int]:
    r, g, b = (min(255, max(0, round(part))) for part in colour)
    return r, g, b, round(255 * opacity)


_CIRCLES = {n: [(math.cos(2 * math.pi * k / n), math.sin(2 * math.pi * k / n)) for k in range(n)] for n in (14, 20, 28)}


def arc(x: Number, y: Number, rx: Number, ry: Number, n: int = 28) -> Points:
    """The points of an ellipse."""
    return [(x + rx * c, y + ry * s) for c, s in _CIRCLES[n]]


def dome(x: Number, y: Number, rx: Number, ry: Number) -> Points:
    """The points of the upper half of an ellipse (y up)."""
    return [(x + rx * c, y + ry * s) for c, s in _CIRCLES[28][:15]]
