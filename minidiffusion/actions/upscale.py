r"""A picture with twice the pixels, by a network that was trained to add the detail."""

from typing import Annotated

import PIL.Image
import torch

from minidiffusion.images.pixels import to_pixels, to_tensor
from minidiffusion.pipelines.text_to_image import TextToImage

from .action import Option, action
from .vary import vary

STRENGTH = Option('how far it is drawn anew before, as by vary; 0 is "subtle", "creative" is about 0.2', 0, 1)


@action(n=1, buttons={"Enlarge": {}, "Enlarge, redraw": {"strength": 0.2}})
def upscale(model, picture, prompt, seeds, settings, *, strength: Annotated[float, STRENGTH] = 0.0):
    r"""A picture with twice the pixels, by a network that was trained to add the detail.

    Without such a network, as for Stable Diffusion, it is Lanczos interpolation.
    """
    if strength > 0:
        images = [each.image for each in vary(model, picture, seeds, prompt, settings, strength=strength)]
    else:
        images = [picture.image] * len(seeds)
    return torch.cat([to_tensor(enlarge(model, image)) for image in images])


@torch.inference_mode()
def enlarge(model: TextToImage, image: PIL.Image.Image) -> PIL.Image.Image:
    r"""The image with twice the width and height."""
    if model.upscaler is None:
        return image.convert("RGB").resize((2 * image.width, 2 * image.height), PIL.Image.Resampling.LANCZOS)
    return PIL.Image.fromarray(to_pixels(model.upscaler(to_tensor(image).to(model.device)))[0])
