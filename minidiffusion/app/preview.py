r"""Previews of unfinished pictures, in a millisecond each.

Both decoders have a linear path beside their network (`latent/linear.py`). It alone gives broad areas and colours, a
patch at a time, and costs nothing, whereas a whole decoder takes as long as a step of the sampler.
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
from minidiffusion.images.pixels import to_pixels
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline
from minidiffusion.tokens.sampling import Token

INTERVAL = 0.1
"""Seconds from one preview to the next."""


def preview_callback(
    report: Callable[[Any], None], decode: Callable[[Any], Float[Tensor, "b 3 H W"]]
) -> Callable[[Step | Token], None]:
    r"""An `on_step` that reports previews, at most one per INTERVAL, and None after every step."""
    due = 0.0

    def on_step(step: Step | Token) -> None:
        nonlocal due
        report(None)
        if time.monotonic() >= due:
            report([PIL.Image.fromarray(pixels) for pixels in to_pixels(decode(step))])
            due = time.monotonic() + INTERVAL

    return on_step


@torch.inference_mode()
def latent_preview(model: TextToImage, step: Step) -> Float[Tensor, "b 3 H W"]:
    r"""x0_hat, decoded by the linear path; by the whole decoder where there is none, as in Stable Diffusion."""
    vae = model.vae
    if not vae.config.linear_path:
        return model.decode(step.x0_hat)
    return vae.synthesis(step.x0_hat / vae.config.scaling_factor)


@torch.inference_mode()
def token_preview(model: TokenPipeline, token: Token) -> Float[Tensor, "b 3 H W"]:
    r"""The patches of the tokens that have been sampled, by the linear path; the others are grey."""
    n, places = token.ids.shape[1], model.rows**2
    ids = rearrange(F.pad(token.ids, (0, places - n)), "b (h w) -> b h w", h=model.rows)
    x = model.codebook.synthesis(model.codebook.quantizer.lookup(ids))
    known = rearrange(torch.arange(places, device=x.device) < n, "(h w) -> h w", h=model.rows)
    f = model.size // model.rows
    return x * repeat(known, "h w -> (h i) (w j)", i=f, j=f)
