r"""Training data other than the picture book: points in the plane, digits, emoji, a user's own pictures.

Data files are read when a data set is made, not when this package is imported.

    toy          distributions in the plane, some with a known density
    digits       1,797 handwritten digits of 8 x 8 pixels
    emoji        3,241 emoji with their names in English and Chinese
    make_emoji   the script that made emoji.xz
    folder       a folder of pictures with captions
    captioned    the protocol of captioned pictures, which training uses
"""

from minidiffusion.lazy import lazy_exports

from .captioned import CaptionedPictures, Language
from .toy import POINTS, GaussianMixture, Rings, circle_of_gaussians, dinosaur, moons, swiss_roll, two_gaussians

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .emoji import Emoji
    from .folder import PictureFolder

__all__ = [
    "POINTS", "CaptionedPictures", "Emoji", "GaussianMixture", "Language", "PictureFolder", "Rings",
    "circle_of_gaussians", "dinosaur", "moons", "swiss_roll", "two_gaussians",
]  # fmt: skip

__getattr__ = lazy_exports(__name__, {"emoji": ("Emoji",), "folder": ("PictureFolder",)})
