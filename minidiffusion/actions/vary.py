r"""Pictures like this one: noised part of the way, and sampled again from there (SDEdit, Meng et al. 2022)."""

from typing import Annotated

from minidiffusion.images.pixels import to_tensor

from .action import Option, action

STRENGTH = Option('0 is only what the autoencoder makes of it, 1 keeps nothing; "subtle" is about 0.35', 0, 1)


@action(buttons={"Vary a little": {"strength": 0.35}, "Vary a lot": {"strength": 0.7}})
def vary(model, picture, prompt, seeds, settings, *, strength: Annotated[float, STRENGTH] = 0.7):
    r"""Pictures like this one; with --prompt, the same with another subject, place or style ("remix").

    Raises UserError for a picture whose sides the model cannot draw.
    """
    size = model.sides(picture.image.size)
    start = model.encode(to_tensor(picture.image)).expand(len(seeds), -1, -1, -1)
    return model.generate(prompt, seeds, settings, size=size, start=start, strength=strength)
