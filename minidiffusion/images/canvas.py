r"""Canvases: a picture with room around it, and a region that joins its surroundings without a visible border."""

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def extend(
    image: PIL.Image.Image, size: tuple[int, int], corner: tuple[int, int], margin: int = 0
) -> tuple[PIL.Image.Image, PIL.Image.Image]:
    r"""A canvas with the image at the corner, and a mask that is white where the canvas is not covered.

    There the canvas repeats the image's edge, so that the encoder, which looks around, sees nothing strange. Where the
    canvas goes on beyond the image, its outermost `margin` pixels are not kept either: no seam, and no frame.
    """
    inside, nearest = [], []
    for whole, part, start in zip(size, image.size, corner, strict=True):
        place = np.arange(whole) - start
        first, last = margin * (start > 0), part - 1 - margin * (start + part < whole)
        inside.append((place >= first) & (place <= last))
        nearest.append(place.clip(0, part - 1))
    canvas = np.asarray(image.convert("RGB"))[nearest[1]][:, nearest[0]]
    covered = inside[1][:, None] & inside[0][None, :]
    return PIL.Image.fromarray(canvas), PIL.Image.fromarray(~covered)


def mend(
    drawn: Float[Tensor, "b c h w"],
    known: Float[Tensor, "1 c h w"],
    unknown: Float[Tensor, "1 1 h w"],
    reach: float = 8,
) -> Float[Tensor, "b c h w"]:
    r"""`known` where `unknown` is 0; elsewhere `drawn`, shifted near the border so that it goes on where known ends.

    The shift h makes the step over the border small, is smooth, and is forgotten after about `reach` pixels; it
    minimises, p and q being neighbours (Perez et al. 2003, with nothing but colours to agree on, and a screen),

        sum_{p, q drawn} (h_p - h_q)^2 + sum_{p drawn, q known} (drawn_p + h_p - known_q)^2 + sum_p h_p^2 / reach^2
    """
    cross = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])[None, None]

    def around(v: Tensor) -> Tensor:  # the sum of a pixel's neighbours, fewer at the edge of the canvas
        return F.conv2d(v.flatten(0, 1)[:, None], cross.to(v), padding=1).view(v.shape)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(1, 2, 3), keepdim=True)

    pull = unknown * (around((1 - unknown) * known) - around(1 - unknown) * drawn)
    weight = around(torch.ones_like(unknown)) + reach**-2
    h, rest = torch.zeros_like(drawn), pull  # where the slope is 0, weight h - around(h) = pull: conjugate gradients
    along = rest
    for _ in range(round(12 * reach)):
        slope = unknown * (weight * along - around(along))
        before = dot(rest, rest).clamp(min=1e-30)
        step = before / dot(along, slope).clamp(min=1e-30)
        h, rest = h + step * along, rest - step * slope
        along = rest + dot(rest, rest) / before * along
    return torch.where(unknown > 0, drawn + h, known)
