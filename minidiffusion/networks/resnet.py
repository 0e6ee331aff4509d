r"""A small convolutional denoiser for tiny pictures: residual blocks in a row, all at full resolution.

    x_t --conv_in--> h --block--> ... --block--> h --norm, silu, conv_out--> prediction (and, if learnt, variance)

It is the U-Net at one resolution: at 8 x 8 pixels the receptive field of a few 3 x 3 convolutions is the whole picture,
and neither lower resolutions nor attention are needed. The padding with zeros marks the edges.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from .convolution import GroupNorm, ResnetBlock
from .embedding import TimestepEmbedding, sinusoidal_embedding


@dataclass(frozen=True)
class ResNetConfig:
    in_channels: int = 1
    out_channels: int = 2
    """Twice `in_channels` for a network that learns its variance (`objective.hybrid`)."""
    channels: int = 32
    depth: int = 4
    groups: int = 8


class ResNet(nn.Module):
    r"""x_t `b c h w`, t `b` (0 is the least noise) -> `b out h w`."""

    def __init__(self, config: ResNetConfig):
        super().__init__()
        self.config = config
        c = config.channels
        self.time_embedding = TimestepEmbedding(c, 4 * c)
        self.conv_in = nn.Conv2d(config.in_channels, c, 3, padding=1)
        self.blocks = nn.ModuleList([ResnetBlock(c, c, config.groups, 1e-5, 4 * c) for _ in range(config.depth)])
        self.conv_norm_out = GroupNorm(config.groups, c, eps=1e-5, silu=True)
        self.conv_out = nn.Conv2d(c, config.out_channels, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)  # the first prediction is 0, whose error is that of the mean

    def forward(self, x_t: Float[Tensor, "b c h w"], t: Tensor) -> Float[Tensor, "b out h w"]:
        time = self.time_embedding(sinusoidal_embedding(t, self.config.channels))
        h = self.conv_in(x_t)
        for block in self.blocks:
            h = block(h, time)
        return self.conv_out(self.conv_norm_out(h))
