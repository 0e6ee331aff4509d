r"""Super-resolution: a picture in twice the resolution, as if it had been drawn larger (Lim et al. 2017).

    x --conv_in--> h --(+ block)--> ... --conv_out--> 12 numbers a pixel --shuffle--> 3 for each of 4 new pixels
    |_________________________________ bicubic, twice as large ______________________________________| +

An interpolation is smooth where the picture is not. From the pixels around each one the network recognises an edge, a
star or a square of pixel art, and adds what the interpolation lacks. No normalisation layers, since they would change
the contrast. The four new pixels are computed as channels at the low resolution, which costs a quarter of convolutions
at the high one (sub-pixel convolution, Shi et al. 2016).
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class UpscalerConfig:
    channels: int = 48
    depth: int = 6


class UpscalerBlock(nn.Module):
    r"""Two convolutions in a residual connection. `b c h w -> b c h w`."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return h + self.conv2(F.silu(self.conv1(h)))


class Upscaler(nn.Module):
    r"""`b 3 h w` -> `b 3 2h 2w`, in [-1, 1] or a little beyond. Before training it is the bicubic interpolation."""

    def __init__(self, config: UpscalerConfig):
        super().__init__()
        self.config = config
        self.conv_in = nn.Conv2d(3, config.channels, 3, padding=1)
        self.blocks = nn.Sequential(*(UpscalerBlock(config.channels) for _ in range(config.depth)))
        self.conv_out = nn.Conv2d(config.channels, 12, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        smooth = F.interpolate(x, scale_factor=2, mode="bicubic")
        return smooth + F.pixel_shuffle(self.conv_out(self.blocks(self.conv_in(x))), 2)
