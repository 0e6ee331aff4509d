r"""A blend of two to five pictures: each is described in words, and all descriptions guide the sampler together."""


import PIL.Image
import torch

from minidiffusion.images.pixels import to_tensor
from minidiffusion.prompt.describe import describe

from .action import action


@action(pictures=(2, 5), buttons={})
def blend(model, pictures, prompt, seeds, settings):
    r"""Blend two to five pictures.

    The results start from the mean of the pictures' latents, noised nearly all the way.
    """
    size = model.sides(pictures[0].image.size)
    extra = [(describe(model, picture.image)[0], 1.0) for picture in pictures]
    resized = [picture.image.resize(size, PIL.Image.Resampling.LANCZOS) for picture in pictures]
    middle = torch.stack([model.encode(to_tensor(image)) for image in resized]).mean(dim=0)
    start = middle.expand(len(seeds), -1, -1, -1)
    return model.generate(prompt, seeds, settings, size=size, extra=extra, start=start, strength=0.9)
