r"""The protocol of captioned pictures: what training needs of a data set, wherever it comes from."""

from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Language = Literal["en", "zh"]
r"""English or Chinese."""


@runtime_checkable
class CaptionedPictures(Protocol):
    """Pictures by index, and captions that may differ at each call."""

    def __len__(self) -> int:
        """The number of pictures."""
        ...

    def pictures(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
        """The pictures, float32 in [-1, 1]."""
        ...

    def captions(self, indices: Int[Tensor, " b"], generator: torch.Generator) -> list[str]:
        """One true caption a picture, drawn from `generator` and from nothing else."""
        ...
