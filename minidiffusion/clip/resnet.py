r"""CLIP's other picture encoder: a ResNet-50 with three changes (Radford et al. 2021, section 2.4).

1. The *stem* is three 3x3 convolutions and an average pool, not one 7x7 convolution and a maximum pool.
2. *Anti-aliased strides*: where a block halves the resolution, an average over 2x2 goes before the convolution, on the
   branch and on the shortcut, and the convolution itself has stride 1.
3. *Attention pooling*: the query is the mean over all positions, keys and values are the positions and the mean. An
   average is the special case of equal weights.

The last BatchNorm of each block starts with gain 0, so that an untrained block is its shortcut (Goyal et al. 2017). The
names of the parameters are OpenAI's.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.attention.scaled_dot_product import scaled_dot_product

STRIDE = 32
"""Pixels from one position of the last layer to the next: 4 in the stem, then three times 2."""


class Bottleneck(nn.Module):
    r"""1x1, 3x3 and 1x1 convolutions, plus the shortcut. `b c h w -> b (4 width) h/stride w/stride`."""

    def __init__(self, channels: int, width: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or channels != 4 * width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = F.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(self.halve(branch)))
        shortcut = x if self.downsample is None else self.downsample(self.halve(x))
        return F.relu(branch + shortcut)

    def halve(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


class AttentionPool(nn.Module):
    r"""Attention of one query, the mean position, over all positions and itself: `b c h w -> b d`."""

    def __init__(self, side: int, channels: int, heads: int, embed_dim: int):
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, channels) / channels**0.5)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, embed_dim)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        positions = rearrange(x, "b c h w -> b (h w) c")
        tokens = torch.cat([positions.mean(dim=1, keepdim=True), positions], dim=1) + self.positional_embedding
        projected = (self.q_proj(tokens[:, :1]), self.k_proj(tokens), self.v_proj(tokens))
        q, k, v = (rearrange(each, "b n (h d) -> b h n d", h=self.heads) for each in projected)
        return self.c_proj(rearrange(scaled_dot_product(q, k, v), "b h 1 d -> b (h d)"))


class ModifiedResNet(nn.Module):
    r"""A picture, `size` on a side and `size` a multiple of 32, to a vector of the shared space (not yet unit length).

    layers: how many blocks each of the four stages has. Its attention pool holds the projection into the shared space.
    """

    def __init__(self, layers: tuple[int, int, int, int], width: int, heads: int, size: int, embed_dim: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.layer1 = stage(width, width, layers[0], stride=1)
        self.layer2 = stage(4 * width, 2 * width, layers[1], stride=2)
        self.layer3 = stage(8 * width, 4 * width, layers[2], stride=2)
        self.layer4 = stage(16 * width, 8 * width, layers[3], stride=2)
        self.attnpool = AttentionPool(size // STRIDE, 32 * width, heads, embed_dim)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.attnpool(x)


def stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    r"""Blocks of one width; the first takes the stride."""
    return nn.Sequential(
        Bottleneck(channels, width, stride), *(Bottleneck(4 * width, width) for _ in range(blocks - 1))
    )
