r"""The convolutional layers that the U-Net and the VAE share: residual block, down-sampling, up-sampling.

Parameter names and details are those of Stable Diffusion's checkpoints.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion_kernels.group_norm import group_norm


class GroupNorm(nn.GroupNorm):
    r"""Group normalisation, with the SiLU that follows it fused in. `b c h w -> b c h w` (Wu & He 2018)."""

    def __init__(self, groups: int, channels: int, eps: float, *, silu: bool = False):
        super().__init__(groups, channels, eps)
        self.silu = silu

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps, silu=self.silu)


class ResnetBlock(nn.Module):
    r"""Two convolutions in a residual connection, with the time embedding added in between (He et al. 2016).

        h = conv1(silu(norm1(x)));  h = h + W silu(time);  y = shortcut(x) + conv2(silu(norm2(h)))

    x: `b c_in h w`, time: `b d` (None in the VAE, which has no time embedding) -> `b c_out h w`.
    """

    def __init__(self, c_in: int, c_out: int, groups: int, eps: float, time_dim: int | None = None):
        super().__init__()
        self.norm1 = GroupNorm(groups, c_in, eps, silu=True)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_dim, c_out) if time_dim else None
        self.norm2 = GroupNorm(groups, c_out, eps, silu=True)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else None

    def forward(
        self, x: Float[Tensor, "b c_in h w"], time: Float[Tensor, "b d"] | None = None
    ) -> Float[Tensor, "b c_out h w"]:
        h = self.conv1(self.norm1(x))
        if self.time_emb_proj is not None:
            assert time is not None, "a block with time_dim needs the time embedding"
            h = h + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(self.norm2(h))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Downsample(nn.Module):
    r"""Halve height and width with a strided convolution: `b c h w -> b c h/2 w/2`.

    The U-Net pads all four sides by one; the VAE pads only right and bottom (`symmetric=False`), as its checkpoints
    were trained to.
    """

    def __init__(self, channels: int, *, symmetric: bool = True):
        super().__init__()
        self.padding = (1, 1, 1, 1) if symmetric else (0, 1, 0, 1)  # left, right, top, bottom
        self.pad_mode = "constant"  # zeros
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return self.conv(F.pad(x, self.padding, self.pad_mode))


class Upsample(nn.Module):
    r"""Double height and width by repeating pixels, followed by a convolution: `b c h w -> b c 2h 2w`.

    A transposed convolution would do it in one step but leaves checkerboard artefacts (Odena et al. 2016).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
