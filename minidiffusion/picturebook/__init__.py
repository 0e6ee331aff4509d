r"""The picture book: a world of scenes with captions in English and Chinese, whose pictures are drawn by a program.

Of every picture all attributes are known, so generated ones can be evaluated.

    scene      seven attributes and a seed; the combinations withheld from training
    captions   captions of a scene
    dataset    the picture book as training data
    draw       rendering of a scene
    viewport   which part of the world a picture shows
    brush      drawing primitives
    styles     six art styles
    palette    colours
    skies      five skies
    places     five places
    subjects   twelve subjects
"""

from minidiffusion.lazy import lazy_exports

from .captions import Caption, caption, describe
from .scene import ATTRIBUTES, SPLITS, Scene, Split, random_scene

TYPE_CHECKING = False  # whoever only needs words, such as the prompt language, does not load the drawing
if TYPE_CHECKING:
    from .dataset import PictureBook
    from .draw import render

__all__ = [
    "ATTRIBUTES", "SPLITS", "Caption", "PictureBook", "Scene", "Split", "caption", "describe", "random_scene", "render",
]  # fmt: skip

__getattr__ = lazy_exports(__name__, {"dataset": ("PictureBook",), "draw": ("render",)})
