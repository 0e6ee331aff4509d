r"""The KL autoencoder: pictures to small latents and back (article 2.2; Kingma & Welling 2014; Rombach et al. 2022).

Diffusion in pixels spends most of its computation on texture. The encoder maps a picture to a latent with an eighth of
its height and width, diffusion happens there, and the decoder maps the result back to pixels:

    q(z | x) = N(z; mean(x), exp(logvar(x)) I),      x_hat = decode(z)
    loss = reconstruction + kl_weight * KL( q(z | x) || N(0, I) )

Parameter names are those of Stable Diffusion's VAE, which is this class with `VAEConfig.stable_diffusion_1_5()`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.attention.multi_head import MultiHeadAttention
from minidiffusion.networks.convolution import Downsample, GroupNorm, ResnetBlock, Upsample

from .linear import principal_components, start_from

EPS = 1e-6  # of every GroupNorm in Stable Diffusion's VAE; the U-Net's residual blocks use 1e-5


@dataclass(frozen=True)
class VAEConfig:
    r"""The shape of an autoencoder. Level i has `channels[i]` channels at 1/2^i of the (patched) resolution."""

    latent_channels: int = 16
    channels: tuple[int, ...] = (64, 96)
    layers_per_block: int = 1
    groups: int = 16
    patch: int = 4
    """patch x patch pixels become the channels of one position: 16 times fewer positions for `patch=4`."""
    mid_attention: bool = False
    linear_path: bool = True
    """Add a linear code of the patches (latent/linear.py) to encoder and decoder, which then learn the residual."""
    scaling_factor: float = 1.0
    """1 / std of the latents, measured after training, so that diffusion sees latents of unit variance."""

    def __post_init__(self) -> None:
        if any(c % self.groups for c in self.channels):
            raise ValueError(f"channels must be divisible by {self.groups} groups, got {self.channels}")

    @property
    def downsampling(self) -> int:
        r"""The width of one latent position in pixels."""
        return self.patch * 2 ** (len(self.channels) - 1)

    @staticmethod
    def stable_diffusion_1_5() -> "VAEConfig":
        r"""83,653,863 parameters; scaling 0.18215 was measured by its authors on one batch."""
        return VAEConfig(
            latent_channels=4,
            channels=(128, 256, 512, 512),
            layers_per_block=2,
            groups=32,
            patch=1,
            mid_attention=True,
            linear_path=False,
            scaling_factor=0.18215,
        )


@dataclass
class DiagonalGaussian:
    r"""q(z | x) = N(mean, exp(logvar)), independent in every element; both `b *shape`."""

    mean: Float[Tensor, "b *shape"]
    logvar: Float[Tensor, "b *shape"]

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "b *shape"]:
        r"""z = mean + std * eps: the reparametrisation that lets the gradient through a random draw."""
        eps = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + (0.5 * self.logvar).exp() * eps

    def mode(self) -> Float[Tensor, "b *shape"]:
        return self.mean

    def kl_of_each(self) -> Float[Tensor, "b *shape"]:
        r"""KL(q || N(0, I)) = 1/2 (mean^2 + var - 1 - log var) of each element, in nats (Kingma & Welling, app. B)."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar)

    def kl(self) -> Float[Tensor, "b"]:
        r"""KL(q || N(0, I)) in nats a picture: independent elements add up."""
        return self.kl_of_each().flatten(1).sum(dim=1)


class MidAttention(MultiHeadAttention):
    r"""Self-attention over all positions, in one head, inside a residual connection. `b c h w -> b c h w`."""

    def __init__(self, channels: int, groups: int):
        super().__init__(channels, heads=1, qkv_bias=True)
        self.group_norm = GroupNorm(groups, channels, EPS)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        tokens = rearrange(self.group_norm(x), "b c h w -> b (h w) c")
        return x + rearrange(super().forward(tokens), "b (h w) c -> b c h w", h=x.shape[2])


class VAEMidBlock(nn.Module):
    r"""The lowest resolution: residual block, attention if the config has it, residual block."""

    def __init__(self, channels: int, config: VAEConfig):
        super().__init__()
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, config.groups, EPS) for _ in range(2)])
        self.attentions = nn.ModuleList([MidAttention(channels, config.groups)] if config.mid_attention else [])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x)


class VAELevel(nn.Module):
    r"""One resolution: `layers` residual blocks, then a Downsample or an Upsample, except in the last level.

    The two are set by encoder and decoder, under the names that Stable Diffusion's checkpoints have for them.
    """

    def __init__(self, c_in: int, c_out: int, layers: int, groups: int):
        super().__init__()
        c_ins = [c_in] + [c_out] * (layers - 1)
        self.resnets = nn.ModuleList([ResnetBlock(c, c_out, groups, EPS) for c in c_ins])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        for resnet in self.resnets:
            x = resnet(x)
        for resample in [*getattr(self, "downsamplers", []), *getattr(self, "upsamplers", [])]:
            x = resample(x)
        return x


class Encoder(nn.Module):
    r"""A picture `b 3 H W` to the parameters of q(z | x): mean and logvar in `b 2z h w`."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        c = config.channels
        self.patch = config.patch
        self.conv_in = nn.Conv2d(3 * config.patch**2, c[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for i in range(len(c)):
            level = VAELevel(c[max(i - 1, 0)], c[i], config.layers_per_block, config.groups)
            if i < len(c) - 1:
                level.downsamplers = nn.ModuleList([Downsample(c[i], symmetric=False)])
            self.down_blocks.append(level)
        self.mid_block = VAEMidBlock(c[-1], config)
        self.conv_norm_out = GroupNorm(config.groups, c[-1], EPS, silu=True)
        self.conv_out = nn.Conv2d(c[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b z2 h w"]:
        x = self.conv_in(F.pixel_unshuffle(x, self.patch))
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(self.conv_norm_out(self.mid_block(x)))


class Decoder(nn.Module):
    r"""A latent `b z h w` to a picture `b 3 H W`; each level has one residual block more than in the encoder."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        c = config.channels[::-1]
        self.patch = config.patch
        self.conv_in = nn.Conv2d(config.latent_channels, c[0], 3, padding=1)
        self.mid_block = VAEMidBlock(c[0], config)
        self.up_blocks = nn.ModuleList()
        for i in range(len(c)):
            level = VAELevel(c[max(i - 1, 0)], c[i], config.layers_per_block + 1, config.groups)
            if i < len(c) - 1:
                level.upsamplers = nn.ModuleList([Upsample(c[i])])
            self.up_blocks.append(level)
        self.conv_norm_out = GroupNorm(config.groups, c[-1], EPS, silu=True)
        self.conv_out = nn.Conv2d(c[-1], 3 * config.patch**2, 3, padding=1)

    def forward(self, z: Float[Tensor, "b z h w"]) -> Float[Tensor, "b 3 H W"]:
        x = self.mid_block(self.conv_in(z))
        for level in self.up_blocks:
            x = level(x)
        return F.pixel_shuffle(self.conv_out(self.conv_norm_out(x)), self.patch)


class AutoencoderKL(nn.Module):
    r"""Encoder, decoder, and the two 1x1 convolutions around the latent.

    With `config.linear_path` a linear code is added to encoder and decoder, whose outputs start as zero. After
    `start_linear_path` that code is the PCA of some pictures, and training starts from its error.
    """

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        if config.linear_path:
            f = config.downsampling
            self.analysis = nn.Conv2d(3, config.latent_channels, f, stride=f)
            self.synthesis = nn.ConvTranspose2d(config.latent_channels, 3, f, stride=f)
            for conv in (self.encoder.conv_out, self.quant_conv, self.decoder.conv_out):
                conv.bias.data.zero_()
            self.encoder.conv_out.weight.data.zero_()
            self.decoder.conv_out.weight.data.zero_()
            self.quant_conv.bias.data[config.latent_channels :] = -6.0  # logvar: a narrow posterior

    def start_linear_path(self, x: Float[Tensor, "b 3 H W"]) -> None:
        r"""Set the linear code to the principal components of the patches of pictures x."""
        components = principal_components(x, self.config.downsampling, self.config.latent_channels)
        start_from(components, self.analysis, self.synthesis)

    def encode(self, x: Float[Tensor, "b 3 H W"]) -> DiagonalGaussian:
        r"""q(z | x) for pictures in [-1, 1]. Raises ValueError if a side is not divisible by `config.downsampling`."""
        f = self.config.downsampling
        if x.shape[2] % f or x.shape[3] % f:
            raise ValueError(f"the sides of a picture must be divisible by {f}, got {x.shape[2]} x {x.shape[3]}")
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        if self.config.linear_path:
            mean = mean + self.analysis(x)
        return DiagonalGaussian(mean, logvar.clamp(-30.0, 20.0))

    def decode(self, z: Float[Tensor, "b z h w"]) -> Float[Tensor, "b 3 H W"]:
        r"""The picture of an (unscaled) latent; values may leave [-1, 1] a little."""
        x = self.decoder(self.post_quant_conv(z))
        return x + self.synthesis(z) if self.config.linear_path else x

    def forward(
        self, x: Float[Tensor, "b 3 H W"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b 3 H W"], DiagonalGaussian]:
        posterior = self.encode(x)
        return self.decode(posterior.sample(generator)), posterior
