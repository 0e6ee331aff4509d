r"""A picture, and for each word of its prompt the same in fog, which lifts where the network looked at the word."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure

from minidiffusion.viz.attention import Captioned, captioned, fog
from minidiffusion.viz.base import Image, pixels

COLUMNS = 6


def word_maps(image: Image, maps: Sequence[tuple[str, Float[np.ndarray, "h w"]]], side: float = 1.4) -> Figure:
    r"""maps: those of `looking.where`, each spread over as many pixels of the picture as belong to a latent.

    Every map has a scale of its own; the number in its caption is the largest weight, where the picture is clear. A
    word that matplotlib's font may lack, like a Chinese one, is shown as its number.
    """
    shown: list[Captioned] = [(image, "the picture")]
    for i, (word, map_) in enumerate(maps, start=1):
        f = len(pixels(image)) // len(map_)
        weights = torch.from_numpy(map_.repeat(f, axis=0).repeat(f, axis=1))
        shown.append((fog(image, weights), f"{word if word.isascii() else f'word {i}'} {map_.max():.3f}"))
    return captioned([shown[i : i + COLUMNS] for i in range(0, len(shown), COLUMNS)], side=side)
