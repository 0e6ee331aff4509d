r"""Other pictures and other words that say the same (article 3.4.3).

An augmentation of a *pair* must keep the sentence true. CLIP's only one for pictures is a random square crop (Radford
et al. 2021, section 2.4): what a picture shows, it still shows from a little nearer. Others that classifiers are fond
of make captions lie: with other colours a red apple is no longer red, and in a mirror "on the left" is on the right. A
mirrored picture therefore needs mirrored words. Even these know nothing of writing, of clocks, or of a waxing moon, so
`mirror` is for pictures whose left and right differ in nothing else that a caption tells.

Words are augmented where they arise: the captions of the picture book and of the emoji are drawn anew at each call, in
other words, in another order, with more or less of what could be said. To drop words at random would be a trap as well:
"a face without a mouth" is not "a face a mouth".
"""

import re

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def crop(x: Float[Tensor, "b c h w"], generator: torch.Generator, smallest: float = 0.8) -> Float[Tensor, "b c h w"]:
    r"""Of each picture a part of the same shape, resized to the whole.

    Its side is uniform in `smallest`..1 of the picture's, its place uniform in the picture. In coordinates that run
    from -1 to 1, the pixel at u shows what was at  side * u + shift,  |shift| <= 1 - side.  Raises ValueError for a
    `smallest` outside (0, 1].
    """
    if not 0 < smallest <= 1:
        raise ValueError(f"smallest is a share of the picture's side, more than 0 and at most 1, but was {smallest}.")
    side = 1 - (1 - smallest) * torch.rand(len(x), generator=generator)
    shift = (1 - side)[:, None] * (2 * torch.rand(len(x), 2, generator=generator) - 1)
    to_source = torch.cat([torch.diag_embed(side[:, None].expand(-1, 2)), shift[:, :, None]], dim=2)
    source = F.affine_grid(to_source.to(x), list(x.shape), align_corners=False)
    return F.grid_sample(x, source, padding_mode="border", align_corners=False)


def mirror(
    x: Float[Tensor, "b c h w"], captions: list[str], generator: torch.Generator, share: float = 0.5
) -> tuple[Float[Tensor, "b c h w"], list[str]]:
    r"""A `share` of the pictures with left and right exchanged, and with them the words for the sides."""
    chosen = torch.rand(len(x), generator=generator) < share
    mirrored = torch.where(chosen.to(x.device)[:, None, None, None], x.flip(-1), x)
    return mirrored, [swap_sides(text) if swap else text for text, swap in zip(captions, chosen.tolist(), strict=True)]


SIDES = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "左": "右"}
SIDES |= {right: left for left, right in SIDES.items()}
# Whole English words, with -ward and -wards; not those inside "bright" and "leftovers". 左右 is "about", or both sides.
SIDE = re.compile(r"\b(?:left|right|Left|Right|LEFT|RIGHT)(?=\b|wards?\b)|(?<![左右])[左右](?![左右])", re.ASCII)


def swap_sides(text: str) -> str:
    r"""The caption of the mirrored picture: "a cat on the left" -> "a cat on the right", 左边的猫 -> 右边的猫.

    All words are exchanged at once, so that none goes there and back. Twice is the text itself. That "all right" and
    "what is left" are no sides, it does not know.
    """
    return SIDE.sub(lambda side: SIDES[side.group()], text)
