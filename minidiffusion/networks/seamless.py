r"""Patterns that repeat without a seam: circular padding in every convolution (the flag --tile).

A convolution pads a picture with zeros, so a network can tell where the edge is, and draws frames, horizons and corners
accordingly. With circular padding the left edge lies beside the right one and the top beside the bottom, so the picture
has no edge and repeats without a seam. No training is needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn

from .convolution import Downsample


@contextmanager
def seamless(*networks: nn.Module, on: bool = True) -> Iterator[None]:
    r"""Inside the `with` block all convolutions of the networks pad circularly, if `on`; after it, with zeros."""
    layers = [layer for network in networks for layer in network.modules()] if on else []

    def set_padding(padding_mode: Literal["zeros", "circular"], pad_mode: str) -> None:
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = padding_mode
            elif isinstance(layer, Downsample):
                layer.pad_mode = pad_mode

    set_padding("circular", "circular")
    try:
        yield
    finally:
        set_padding("zeros", "constant")
