r"""The denoiser: a U-Net with cross-attention to the prompt (article 2.1.2, 2.3.2; Rombach et al. 2022, section 3.3).

    noisy latents --conv_in--> down_blocks --> mid_block --> up_blocks --conv_out--> prediction: eps, x_0 or v
                                   |________ skip connections ________|
    time   --> sines and cosines --> added inside every ResnetBlock
    prompt --> CLIP text tokens  --> keys and values of every cross-attention

The same class is the miniature that a laptop trains and the U-Net of Stable Diffusion 1.5: parameter names, their order
and every epsilon are those of its checkpoint.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.attention.block import CrossAttentionBlock

from .convolution import Downsample, GroupNorm, ResnetBlock, Upsample
from .embedding import TimestepEmbedding, sinusoidal_embedding


@dataclass(frozen=True)
class UNetConfig:
    r"""The shape of a U-Net. Level i has `channels[i]` channels at 1/2^i of the resolution."""

    in_channels: int = 16
    channels: tuple[int, ...] = (64, 128)
    attention: tuple[bool, ...] = (False, True)
    """Which levels have transformer blocks; the lowest resolution always has one in the middle."""
    layers_per_block: int = 1
    heads: int = 4
    context_dim: int = 128
    ff_mult: int = 4
    groups: int = 32

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.attention):
            raise ValueError(
                f"channels and attention must have as many entries, got {len(self.channels)} and {len(self.attention)}"
            )
        for c in self.channels:
            if c % self.groups or c % self.heads:
                raise ValueError(f"channels must be divisible by {self.groups} groups and {self.heads} heads, got {c}")

    @staticmethod
    def stable_diffusion_1_5() -> "UNetConfig":
        r"""859,520,964 parameters. Its config file says `attention_head_dim: 8` and means 8 heads (diffusers #2011)."""
        return UNetConfig(
            in_channels=4,
            channels=(320, 640, 1280, 1280),
            attention=(True, True, True, False),
            layers_per_block=2,
            heads=8,
            context_dim=768,
        )


class SpatialTransformer(nn.Module):
    r"""A transformer block over the positions of a feature map: `b c h w` and tokens `b m d` -> `b c h w`."""

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__()
        self.norm = GroupNorm(config.groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        block = CrossAttentionBlock(channels, config.heads, config.context_dim, config.ff_mult)
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b m d"]) -> Float[Tensor, "b c h w"]:
        height = x.shape[2]
        tokens = rearrange(self.proj_in(self.norm(x)), "b c h w -> b (h w) c")
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(rearrange(tokens, "b (h w) c -> b c h w", h=height))


class UNetLevel(nn.Module):
    r"""One resolution of the U-Net: residual blocks, each followed by a transformer where the level has attention.

    A level of the encoder ends with a Downsample, one of the decoder with an Upsample, except the last of each.
    """

    def __init__(self, c_ins: list[int], c_out: int, attention: bool, config: UNetConfig):
        super().__init__()
        time_dim = 4 * config.channels[0]
        self.resnets = nn.ModuleList([ResnetBlock(c, c_out, config.groups, 1e-5, time_dim) for c in c_ins])
        if attention:
            self.attentions = nn.ModuleList([SpatialTransformer(c_out, config) for _ in c_ins])

    def layer(self, i: int, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        x = self.resnets[i](x, time)
        return self.attentions[i](x, context) if hasattr(self, "attentions") else x


class DownLevel(UNetLevel):
    def __init__(self, c_in: int, c_out: int, attention: bool, last: bool, config: UNetConfig):
        super().__init__([c_in] + [c_out] * (config.layers_per_block - 1), c_out, attention, config)
        if not last:
            self.downsamplers = nn.ModuleList([Downsample(c_out)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> list[Tensor]:
        r"""Every intermediate feature map, for the skip connections; the last one is the next level's input."""
        skips = []
        for i in range(len(self.resnets)):
            x = self.layer(i, x, time, context)
            skips.append(x)
        if hasattr(self, "downsamplers"):
            skips.append(self.downsamplers[0](x))
        return skips


class UNetMidBlock(UNetLevel):
    r"""The lowest resolution: residual block, transformer, residual block."""

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__([channels, channels], channels, attention=False, config=config)
        self.attentions = nn.ModuleList([SpatialTransformer(channels, config)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        x = self.resnets[0](x, time)
        x = self.attentions[0](x, context)
        return self.resnets[1](x, time)


class UpLevel(UNetLevel):
    def __init__(self, c_in: int, c_skips: list[int], c_out: int, attention: bool, last: bool, config: UNetConfig):
        c_befores = [c_in] + [c_out] * (len(c_skips) - 1)
        c_ins = [before + skip for before, skip in zip(c_befores, c_skips, strict=True)]
        super().__init__(c_ins, c_out, attention, config)
        if not last:
            self.upsamplers = nn.ModuleList([Upsample(c_out)])

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, context: Tensor) -> Tensor:
        for i in range(len(self.resnets)):
            x = self.layer(i, torch.cat([x, skips.pop()], dim=1), time, context)
        return self.upsamplers[0](x) if hasattr(self, "upsamplers") else x


class UNet(nn.Module):
    r"""A noisy latent, the time and the prompt to the prediction that the objective trains (eps, x_0 or v)."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        c = config.channels
        levels = len(c)
        self.time_embedding = TimestepEmbedding(c[0], 4 * c[0])
        self.conv_in = nn.Conv2d(config.in_channels, c[0], 3, padding=1)

        # Every feature map of the encoder is an input of the decoder: c_skips holds their channels, as a stack.
        c_skips = [c[0]]
        self.down_blocks = nn.ModuleList()
        for i in range(levels):
            last = i == levels - 1
            self.down_blocks.append(DownLevel(c[max(i - 1, 0)], c[i], config.attention[i], last, config))
            c_skips += [c[i]] * (config.layers_per_block + (not last))

        self.mid_block = UNetMidBlock(c[-1], config)

        self.up_blocks = nn.ModuleList()
        for i in reversed(range(levels)):
            c_above = c[min(i + 1, levels - 1)]
            popped = [c_skips.pop() for _ in range(config.layers_per_block + 1)]
            self.up_blocks.append(UpLevel(c_above, popped, c[i], config.attention[i], i == 0, config))

        self.conv_norm_out = GroupNorm(config.groups, c[0], eps=1e-5, silu=True)
        self.conv_out = nn.Conv2d(c[0], config.in_channels, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "b c h w"], t: Tensor, context: Float[Tensor, "b m d"]
    ) -> Float[Tensor, "b c h w"]:
        r"""x: noisy latents; t: `b` times, counted from 0 for the least noise; context: the prompt's text tokens.

        Raises ValueError unless height and width are divisible by 2^(levels - 1).
        """
        stride = 2 ** (len(self.config.channels) - 1)
        if x.shape[2] % stride or x.shape[3] % stride:
            raise ValueError(f"the sides of latents must be divisible by {stride}, got {x.shape[2]} x {x.shape[3]}")
        time = self.time_embedding(sinusoidal_embedding(t, self.config.channels[0]).to(x.dtype))

        x = self.conv_in(x)
        skips = [x]
        for down in self.down_blocks:
            skips += down(skips[-1], time, context)
        x = self.mid_block(skips[-1], time, context)
        for up in self.up_blocks:
            x = up(x, skips, time, context)
        return self.conv_out(self.conv_norm_out(x))
