r"""Cross-attention maps: the picture, and for each word of its prompt the same, faded where its attention is small."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from minidiffusion.images.fade import fade

from .attention import Captioned, captioned
from .base import Image, pixels

COLUMNS = 6


def word_maps(image: Image, maps: Sequence[tuple[str, Float[np.ndarray, "h w"]]], side: float = 1.4) -> Figure:
    r"""maps: of `pipelines.cross_attention_maps`, each spread over as many pixels of the picture as belong to a latent.

    Every map has a scale of its own; the number in its caption is the largest weight, where the picture is clear. A
    word that matplotlib's font may lack, like a Chinese one, is shown as its number.
    """
    shown: list[Captioned] = [(image, "the picture")]
    for i, (word, map_) in enumerate(maps, start=1):
        shown.append((fade(pixels(image), map_), f"{word if word.isascii() else f'word {i}'} {map_.max():.3f}"))
    return captioned([shown[i : i + COLUMNS] for i in range(0, len(shown), COLUMNS)], side=side)
