r"""A prompt in, pictures out.

>>> from minidiffusion.imagine import TextToImage
>>> model = TextToImage.load("picturebook")
>>> pictures = model.imagine("a red house by the sea at night, watercolor", seeds=[0, 1, 2, 3])
>>> pictures[0].image.show()
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidiffusion.imagine.pipeline import TextToImage
    from minidiffusion.imagine.record import Picture, Record

__all__ = ["Picture", "Record", "TextToImage"]


def __getattr__(name: str) -> object:
    # PyTorch alone takes a second or more to import; who only asks whether a prompt is valid need not wait for it.
    if name == "TextToImage":
        from minidiffusion.imagine.pipeline import TextToImage

        return TextToImage
    if name in ("Picture", "Record"):
        from minidiffusion.imagine import record

        return getattr(record, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
