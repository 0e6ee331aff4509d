r"""Patterns that repeat without a seam: convolutions that look around the edge (the flag --tile).

A convolution pads a picture with zeros, so a network knows where the edge is, and draws frames, horizons and corners
accordingly. With circular padding the left edge lies beside the right one and the top beside the bottom: there is no
edge to know, and what is drawn across it fits. Nothing needs to be trained for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn

from minidiffusion.networks.convolution import Downsample


@contextmanager
def seamless(*networks: nn.Module, on: bool = True) -> Iterator[None]:
    r"""Within, all padded convolutions of the networks pad circularly (if `on`); afterwards with zeros again."""
    layers = [layer for network in networks for layer in network.modules()] if on else []

    def pad(mode: Literal["zeros", "circular"], how: str) -> None:
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = mode
            elif isinstance(layer, Downsample):
                layer.pad_mode = how

    pad("circular", "circular")
    try:
        yield
    finally:
        pad("zeros", "constant")
