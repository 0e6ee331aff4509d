r"""A region of a picture is drawn anew, and every bit of the rest is kept ("vary region")."""

from typing import Annotated

import PIL.Image

from minidiffusion.errors import UserError
from minidiffusion.images.mask import pack_mask, read_mask, unpack_mask
from minidiffusion.pipelines.inpainting import inpaint

from .action import Option, action

MASK = Option(
    "a picture of the same size: white where it is to be drawn anew, black where it is kept",
    read=read_mask,
    pack=pack_mask,
    unpack=unpack_mask,
)


@action(buttons={})
def repaint(model, picture, prompt, seeds, settings, *, mask: Annotated[PIL.Image.Image, MASK]):
    r"""Draw a region anew and keep every bit of the rest ("vary region").

    Inside the model the known region ends at whole latents, each some pixels wide. Raises UserError if there is nothing
    to draw, or if the sizes differ.
    """
    if mask.size != picture.image.size or not mask.getbbox():
        raise UserError("mask must be as large as the picture, and white where it is to be drawn anew.")
    return inpaint(model, picture.image, mask, prompt, seeds, settings)
