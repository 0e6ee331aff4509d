r"""A picture under a map of weights, such as an attention map: faded to white where the weights are small."""

import numpy as np
from jaxtyping import Float, UInt8


def fade(picture: UInt8[np.ndarray, "H W 3"], weights: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "H W 3"]:
    r"""The picture as it is where the weights are largest, and white where they are 0.

    A weight belongs to a rectangle of pixels: H is a multiple of h, and W of w.
    """
    rows, columns = len(picture) // len(weights), picture.shape[1] // weights.shape[1]
    kept = (weights / weights.max()).repeat(rows, axis=0).repeat(columns, axis=1)[..., None]
    return (kept * picture + (1 - kept) * 255).round().astype(np.uint8)
