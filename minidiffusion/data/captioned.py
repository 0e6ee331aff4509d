r"""What every collection of captioned pictures offers, wherever it comes from: all that a training asks for."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class CaptionedPictures(Protocol):
    """Pictures by index, and captions that may be drawn anew each time they are asked for."""

    def __len__(self) -> int:
        """How many pictures there are."""
        ...

    def pictures(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
        """The pictures, float32 in [-1, 1]."""
        ...

    def captions(self, indices: Int[Tensor, " b"], generator: torch.Generator) -> list[str]:
        """One true caption a picture, drawn from `generator` and from nothing else."""
        ...
