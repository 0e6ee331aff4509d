r"""The twelve subjects, each a few shapes around its foot at (0, 0), one unit tall or wide, with y up."""

from collections.abc import Callable

from .brush import Brush, dome
from .palette import Colour, Number, dark, light, mix

CREAM: Colour = (246, 232, 204)
WOOD: Colour = (132, 86, 54)
NIGHT: Colour = (44, 42, 58)


def accent(colour: Colour) -> Colour:
    """A colour in contrast to the subject's own: cream, or tan for colours close to white."""
    return CREAM if min(colour) < 190 else (214, 190, 160)


def house(b: Brush, c: Colour) -> None:
    b.box(0.18, 0.7, 0.33, 1.0, dark(c, 0.6))
    b.box(-0.4, 0, 0.4, 0.52, c)
    b.plain([(0.16, 0.02), (0.39, 0.02), (0.39, 0.5), (0.16, 0.5)], dark(c, 0.88))
    b.polygon([(-0.52, 0.48), (0, 0.94), (0.52, 0.48)], dark(c, 0.66))
    b.box(-0.09, 0, 0.09, 0.3, WOOD)
    b.window(-0.25, 0.27, 0.085, 0.09)
    b.window(0.25, 0.27, 0.085, 0.09)
    b.window(0, 0.63, 0.06, 0.06)


def castle(b: Brush, c: Colour) -> None:
    b.box(-0.27, 0, 0.27, 0.46, dark(c, 0.9))
    for x in (-0.2, 0.0, 0.2):
        b.box(x - 0.055, 0.44, x + 0.055, 0.55, dark(c, 0.9))
    for x in (-0.36, 0.36):
        b.box(x - 0.13, 0, x + 0.13, 0.64, c)
        b.polygon([(x - 0.19, 0.62), (x, 1.0), (x + 0.19, 0.62)], dark(c, 0.62))
        b.window(x, 0.42, 0.045, 0.08)
    b.plain([(-0.11, 0), (0.11, 0), *[(x, y + 0.16) for x, y in dome(0, 0, 0.11, 0.13)]], NIGHT)


def lighthouse(b: Brush, c: Colour) -> None:
    if b.sky.lamps_lit:
        for edge in (-1, 1):
            b.plain([(0, 0.83), (edge * 1.5, 1.0), (edge * 1.5, 0.72)], (255, 240, 170), 0.3)
    b.polygon([(-0.24, 0), (0.24, 0), (0.15, 0.72), (-0.15, 0.72)], c)
    for low, high in ((0.18, 0.3), (0.46, 0.57)):
        wide, narrow = 0.215 - 0.125 * low, 0.215 - 0.125 * high
        b.plain([(-wide, low), (wide, low), (narrow, high), (-narrow, high)], accent(c))
    b.box(-0.09, 0.72, 0.09, 0.89, (255, 236, 150) if b.sky.lamps_lit else (190, 214, 230))
    b.box(-0.21, 0.69, 0.21, 0.755, NIGHT)
    b.polygon([(-0.15, 0.88), (0, 1.04), (0.15, 0.88)], dark(c, 0.62))


def windmill(b: Brush, c: Colour) -> None:
    b.polygon([(-0.27, 0), (0.27, 0), (0.16, 0.6), (-0.16, 0.6)], c)
    b.polygon(dome(0, 0.58, 0.18, 0.15), dark(c, 0.62))
    b.box(-0.07, 0, 0.07, 0.2, WOOD)
    b.window(0, 0.36, 0.05, 0.05)
    for ux, uy in ((0.78, 0.62), (-0.62, 0.78), (-0.78, -0.62), (0.62, -0.78)):
        nx, ny = -uy, ux  # across the sail
        b.polygon(
            [
                (r * 0.46 * ux + s * nx, 0.62 + r * 0.46 * uy + s * ny)
                for r, s in ((0.25, 0), (1, 0), (1, 0.13), (0.25, 0.13))
            ],
            accent(c),
        )
        b.stroke([(0, 0.62), (0.46 * ux, 0.62 + 0.46 * uy)], WOOD, 0.03)


def tree(b: Brush, c: Colour) -> None:
    b.polygon([(-0.09, 0), (0.09, 0), (0.06, 0.45), (-0.06, 0.45)], WOOD)
    b.blob([(-0.24, 0.52, 0.22, 0.2), (0.24, 0.52, 0.22, 0.2), (0, 0.5, 0.25, 0.18), (0, 0.73, 0.29, 0.27)], c)
    b.spot(0.06, 0.42, 0.34, 0.09, dark(c, 0.78))
    b.spot(-0.09, 0.8, 0.12, 0.1, light(c, 0.3))


def mushroom(b: Brush, c: Colour) -> None:
    b.polygon([(-0.17, 0), (0.17, 0), (0.12, 0.2), (0.11, 0.5), (-0.11, 0.5), (-0.12, 0.2)], CREAM)
    b.polygon([*dome(0, 0.42, 0.5, 0.54), (-0.3, 0.36), (0.3, 0.36)], c)
    for x, y, r in ((-0.24, 0.58, 0.085), (0.04, 0.76, 0.1), (0.28, 0.56, 0.075)):
        b.spot(x, y, r, r, accent(c))


def cat(b: Brush, c: Colour) -> None:
    b.tube([(0.18, 0.08), (0.38, 0.08), (0.46, 0.22), (0.42, 0.4)], dark(c, 0.8), 0.1)
    b.polygon([(-0.26, 0), (0.26, 0), (0.3, 0.14), (0.17, 0.5), (-0.17, 0.5), (-0.3, 0.14)], c)
    b.spot(0, 0.2, 0.12, 0.18, light(c, 0.4))
    for s in (-1, 1):
        b.polygon([(s * 0.28, 0.66), (s * 0.27, 1.02), (s * 0.05, 0.84)], c)
    b.disc(0, 0.66, 0.3, 0.23, c)
    for s in (-1, 1):
        b.spot(s * 0.12, 0.69, 0.05, 0.06, NIGHT)
    b.spot(0, 0.58, 0.045, 0.035, (232, 120, 130))


def boat(b: Brush, c: Colour) -> None:
    b.stroke([(0, 0.1), (0, 1.0)], WOOD, 0.05)
    b.polygon([(0.05, 0.28), (0.05, 0.98), (0.28, 0.62), (0.42, 0.28)], c)
    b.polygon([(-0.05, 0.28), (-0.05, 0.86), (-0.36, 0.28)], light(c, 0.22))
    b.polygon([(-0.48, 0.22), (0.5, 0.22), (0.32, 0), (-0.32, 0)], dark(c, 0.72))
    b.plain([(-0.43, 0.16), (0.46, 0.16), (0.44, 0.12), (-0.4, 0.12)], accent(c))


def car(b: Brush, c: Colour) -> None:
    b.polygon([(-0.52, 0.12), (0.52, 0.12), (0.53, 0.28), (0.46, 0.36), (0.34, 0.38), (0.2, 0.58), (0.08, 0.63),
               (-0.16, 0.63), (-0.28, 0.57), (-0.38, 0.38), (-0.5, 0.35), (-0.54, 0.24)], c)  # fmt: skip
    glass = (150, 196, 224)
    b.plain([(-0.27, 0.38), (-0.02, 0.38), (-0.02, 0.56), (-0.15, 0.56), (-0.21, 0.52)], glass)
    b.plain([(0.04, 0.38), (0.24, 0.38), (0.13, 0.54), (0.04, 0.56)], glass)
    b.plain([(-0.52, 0.14), (0.52, 0.14), (0.53, 0.2), (-0.53, 0.2)], dark(c, 0.72))
    if b.sky.lamps_lit:
        b.plain([(0.5, 0.3), (1.2, 0.36), (1.2, 0.06)], (255, 240, 170), 0.3)
    b.spot(0.47, 0.28, 0.05, 0.05, (255, 240, 170))
    for x in (-0.29, 0.29):
        b.disc(x, 0.11, 0.135, 0.135, NIGHT)
        b.spot(x, 0.11, 0.06, 0.06, (200, 200, 206))


def rocket(b: Brush, c: Colour) -> None:
    for s in (-1, 1):
        b.polygon([(s * 0.12, 0.36), (s * 0.34, 0.14), (s * 0.34, -0.02), (s * 0.12, 0.1)], dark(c, 0.66))
    b.polygon([(-0.13, 0.05), (0.13, 0.05), (0.21, 0.32), (0.21, 0.55), (0.13, 0.8), (0, 1.04), (-0.13, 0.8),
               (-0.21, 0.55), (-0.21, 0.32)], c)  # fmt: skip
    b.plain([(-0.14, 0.79), (0.14, 0.79), (0, 1.03)], dark(c, 0.66))
    b.disc(0, 0.57, 0.1, 0.1, accent(c))
    b.window(0, 0.57, 0.055, 0.055)
    b.plain([(-0.03, 0.0), (0.03, 0.0), (0.03, 0.3), (-0.03, 0.3)], dark(c, 0.66))


def balloon(b: Brush, c: Colour) -> None:
    for s in (-1, 1):
        b.stroke([(s * 0.2, 0.38), (s * 0.07, 0.14)], WOOD, 0.02)
    b.box(-0.09, 0, 0.09, 0.15, WOOD)
    b.polygon([*dome(0, 0.66, 0.38, 0.37), (-0.34, 0.52), (-0.22, 0.36), (-0.12, 0.27), (0.12, 0.27), (0.22, 0.36),
               (0.34, 0.52)], c)  # fmt: skip
    for s in (-1, 1):
        stripe = [(0.14, 1.0), (0.24, 0.66), (0.1, 0.28), (0.05, 0.28), (0.1, 0.66), (0.05, 1.02)]
        b.plain([(s * x, y) for x, y in stripe], accent(c) if s < 0 else mix(c, accent(c), 0.55))


def teapot(b: Brush, c: Colour) -> None:
    b.tube([(-0.26, 0.5), (-0.42, 0.54), (-0.5, 0.4), (-0.44, 0.22), (-0.26, 0.16)], dark(c, 0.72), 0.085)
    b.polygon([(0.22, 0.16), (0.36, 0.26), (0.42, 0.5), (0.54, 0.58), (0.42, 0.62), (0.3, 0.5), (0.2, 0.42)], c)
    b.disc(0, 0.32, 0.34, 0.31, c)
    b.box(-0.17, 0, 0.17, 0.05, dark(c, 0.72))
    b.polygon(dome(0, 0.6, 0.2, 0.13), dark(c, 0.72))
    b.disc(0, 0.76, 0.06, 0.06, dark(c, 0.72))
    b.spot(-0.14, 0.42, 0.09, 0.08, light(c, 0.45))
    for x in (-0.14, 0.0, 0.14):
        b.spot(x, 0.22, 0.045, 0.045, accent(c))


SUBJECTS: dict[str, Callable[[Brush, Colour], None]] = {
    "house": house, "castle": castle, "lighthouse": lighthouse, "windmill": windmill,
    "tree": tree, "mushroom": mushroom, "cat": cat, "boat": boat,
    "car": car, "rocket": rocket, "balloon": balloon, "teapot": teapot,
}  # fmt: skip

# the lamp in a subject: its height, and the radius of its glow
LAMPS: dict[str, tuple[Number, Number]] = {
    "house": (0.35, 0.95), "castle": (0.4, 0.95), "lighthouse": (0.83, 0.75), "windmill": (0.3, 0.7),
    "rocket": (0.4, 0.7), "car": (0.3, 0.8),
}  # fmt: skip

# the snow on a subject, as polygons; none on what is round or far from the ground
SNOW_CAPS: dict[str, list[list[tuple[Number, Number]]]] = {
    "house": [[(-0.52, 0.49), (0, 0.96), (0.52, 0.49), (0.4, 0.53), (0, 0.8), (-0.4, 0.53)]],
    "castle": [[(x - 0.1, 0.78), (x, 1.0), (x + 0.1, 0.78), (x, 0.84)] for x in (-0.36, 0.36)],
    "lighthouse": [[(-0.13, 0.9), (0, 1.05), (0.13, 0.9), (0, 0.95)]],
    "windmill": [[(-0.14, 0.66), (-0.08, 0.72), (0, 0.74), (0.08, 0.72), (0.14, 0.66), (0, 0.68)]],
    "tree": [[(-0.22, 0.86), (-0.12, 0.98), (0, 1.01), (0.12, 0.98), (0.22, 0.86), (0, 0.93)]],
    "mushroom": [[(-0.3, 0.82), (-0.16, 0.94), (0, 0.97), (0.16, 0.94), (0.3, 0.82), (0.1, 0.89), (-0.1, 0.89)]],
    "car": [[(-0.24, 0.59), (-0.14, 0.66), (0.08, 0.66), (0.18, 0.59)]],
    "rocket": [[(-0.05, 0.93), (0, 1.04), (0.05, 0.93)]],
}
