r"""What an unfinished picture looks like, in a millisecond.

Both decoders stand beside a linear code of the patches (`latent/linear.py`). It alone tells broad areas and colours, a
patch at a time, and costs nothing, where a whole decoder takes as long as a step of the sampler.
"""

import time
from collections.abc import Callable
from typing import Any

import PIL.Image
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from minidiffusion.diffusion.sampler import Step
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.images.pixels import to_pixels
from minidiffusion.pipelines.token_to_image import TokenPipeline
from minidiffusion.tokens.sampling import Token

PAUSE = 0.1
"""Seconds from one preview to the next."""


def previews(
    show: Callable[[Any], None], look: Callable[[Any], Float[Tensor, "b 3 H W"]]
) -> Callable[[Step | Token], None]:
    r"""For a sampler or a writer, to be called after each step: shows what there is, unless it just has."""
    due = 0.0

    def on_step(step: Step | Token) -> None:
        nonlocal due
        show(None)
        if time.monotonic() >= due:
            show([PIL.Image.fromarray(pixels) for pixels in to_pixels(look(step))])
            due = time.monotonic() + PAUSE

    return on_step


@torch.inference_mode()
def guessed(model: TextToImage, step: Step) -> Float[Tensor, "b 3 H W"]:
    r"""What the sampler's guess is a picture of. The decoder of Stable Diffusion has nothing linear: it does it all."""
    vae = model.vae
    if not vae.config.linear_path:
        return model.decode(step.x0_hat)
    return vae.synthesis(step.x0_hat / vae.config.scaling_factor)


@torch.inference_mode()
def written(writer: TokenPipeline, token: Token) -> Float[Tensor, "b 3 H W"]:
    r"""The patches whose tokens are written; the places of the others are grey."""
    n, places = token.ids.shape[1], writer.rows**2
    ids = rearrange(F.pad(token.ids, (0, places - n)), "b (h w) -> b h w", h=writer.rows)
    x = writer.codebook.synthesis(writer.codebook.quantizer.lookup(ids))
    known = rearrange(torch.arange(places, device=x.device) < n, "(h w) -> h w", h=writer.rows)
    f = writer.size // writer.rows
    return x * repeat(known, "h w -> (h i) (w j)", i=f, j=f)
