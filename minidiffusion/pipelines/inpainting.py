r"""Inpainting and outpainting: a region of a canvas is drawn anew, in the light of the rest (Lugmayr et al. 2022).

The sampler is guided by what is known (`diffusion.inpaint.with_known_region`), in latents. A latent is some pixels
wide, so the pixels are put together here: what is kept of the canvas is kept to the bit.
"""

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from minidiffusion.images.canvas import mend
from minidiffusion.images.pixels import to_tensor
from minidiffusion.prompt.flags import Prompt

from .settings import SamplingSettings
from .text_to_image import TextToImage


def inpaint(
    model: TextToImage,
    canvas: PIL.Image.Image,
    mask: PIL.Image.Image,
    prompt: Prompt,
    seeds: Sequence[int],
    settings: SamplingSettings,
    blended: bool = False,
) -> Float[Tensor, "b 3 H W"]:
    r"""The canvas with the white part of the mask drawn. blended: its border is made to match the rest (`mend`)."""
    x = to_tensor(canvas)
    unknown = torch.from_numpy(np.array(mask.convert("L"))).float()[None, None] / 255
    cells = F.max_pool2d(unknown, model.vae.config.downsampling)  # a latent with one unknown pixel is unknown
    size = model.sides(canvas.size)
    known = (model.encode(x), cells.to(model.device))
    drawn = model.generate(prompt, seeds, settings, size=size, known=known).cpu()
    return mend(drawn, x, unknown).clamp(-1, 1) if blended else torch.where(unknown > 0, drawn, x)


def border(model: TextToImage) -> int:
    r"""How many pixels at the edge of a picture are drawn anew where the canvas goes on, so that no border shows."""
    return model.vae.config.downsampling // 2
