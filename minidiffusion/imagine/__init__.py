r"""A prompt in, pictures out.

>>> from minidiffusion.imagine import TextToImage
>>> model = TextToImage.load("picturebook")
>>> pictures = model.imagine("a red house by the sea at night, watercolor", seeds=[0, 1, 2, 3])
>>> pictures[0].image.show()
"""

from minidiffusion.imagine.pipeline import Picture, Record, TextToImage

__all__ = ["Picture", "Record", "TextToImage"]
