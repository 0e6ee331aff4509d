r"""Data augmentation of pairs of a picture and a caption (article 3.4.3).

An augmentation of a *pair* must keep the caption true. CLIP's only one for pictures is a random square crop (Radford et
al. 2021, section 2.4), which shows the same from a little nearer. Others that are common for classifiers make captions
false: with changed colours a red apple is no longer red, and in a mirrored picture "on the left" is on the right. So a
mirrored picture needs a mirrored caption (`swap_sides`), and even then writing and clocks are wrong.

Captions are augmented where they are made: those of the picture book and of the emoji are drawn anew at each call, in
other words, in another order, with more or fewer attributes. To drop words at random would make captions false as well:
"a face without a mouth" is not "a face a mouth".
"""

import re

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def crop(x: Float[Tensor, "b c h w"], generator: torch.Generator, smallest: float = 0.8) -> Float[Tensor, "b c h w"]:
    r"""A random part of each picture, of the same shape, resized to the whole.

    Its side is uniform in `smallest`..1 of the picture's, its place uniform in the picture. In coordinates that run
    from -1 to 1, the pixel at u shows what was at  side * u + shift,  |shift| <= 1 - side.  Raises ValueError for a
    `smallest` outside (0, 1].
    """
    if not 0 < smallest <= 1:
        raise ValueError(f"smallest, a share of the picture's side, must be above 0 and at most 1, got {smallest}")
    side = 1 - (1 - smallest) * torch.rand(len(x), generator=generator)
    shift = (1 - side)[:, None] * (2 * torch.rand(len(x), 2, generator=generator) - 1)
    to_source = torch.cat([torch.diag_embed(side[:, None].expand(-1, 2)), shift[:, :, None]], dim=2)
    source = F.affine_grid(to_source.to(x), list(x.shape), align_corners=False)
    return F.grid_sample(x, source, padding_mode="border", align_corners=False)


SIDES = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "左": "右"}
SIDES |= {right: left for left, right in SIDES.items()}
# Whole English words, with -ward and -wards; not those inside "bright" and "leftovers". 左右 is "about", or both sides.
SIDE = re.compile(r"\b(?:left|right|Left|Right|LEFT|RIGHT)(?=\b|wards?\b)|(?<![左右])[左右](?![左右])", re.ASCII)


def swap_sides(text: str) -> str:
    r"""The caption of the mirrored picture: "a cat on the left" -> "a cat on the right", 左边的猫 -> 右边的猫.

    All words are exchanged at once; doing it twice gives the text itself. It does not know that "all right" and "what
    is left" are no sides.
    """
    return SIDE.sub(lambda side: SIDES[side.group()], text)
