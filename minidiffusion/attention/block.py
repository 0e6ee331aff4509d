r"""Transformer blocks: attention and a feed-forward layer, each inside a residual connection (article 3.3.3).

    pre-norm:   x = x + Attention(LayerNorm(x)),    x = x + FeedForward(LayerNorm(x))
    post-norm:  x = LayerNorm(x + Attention(x)),    x = LayerNorm(x + FeedForward(x))

All networks here are pre-norm: the normalisation stands *before* each layer, so that the residual path is the identity
and gradients pass unchanged. The transformer of 2017 was post-norm: every LayerNorm on the path rescales gradients too,
and a deep stack trains only with a warm-up of the learning rate (Xiong et al. 2020).
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .multi_head import MultiHeadAttention


class GEGLU(nn.Module):
    r"""A gated linear unit: value * gelu(gate), both linear in x (Shazeer 2020, eq. 6). `... i -> ... o`."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.proj = nn.Linear(dim_in, 2 * dim_out)

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    r"""A GEGLU to `mult` times the width, and a linear layer back: `b n c -> b n c`.

    The names `net.0.proj` and `net.2` are Stable Diffusion's.
    """

    def __init__(self, dim: int, mult: int = 4):
        super().__init__()
        self.net = nn.ModuleList([GEGLU(dim, mult * dim), nn.Identity(), nn.Linear(mult * dim, dim)])

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        for layer in self.net:
            x = layer(x)
        return x


class CrossAttentionBlock(nn.Module):
    r"""Self-attention, cross-attention to the prompt, feed-forward: the block inside Stable Diffusion's U-Net.

    x: `b n c` positions of the picture, context: `b m d` tokens of the prompt -> `b n c`.
    """

    def __init__(self, dim: int, heads: int, context_dim: int, ff_mult: int = 4):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = MultiHeadAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = MultiHeadAttention(dim, heads, context_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim, ff_mult)

    def forward(self, x: Float[Tensor, "b n c"], context: Float[Tensor, "b m d"]) -> Float[Tensor, "b n c"]:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class QuickGELU(nn.Module):
    r"""x * sigmoid(1.702 x): CLIP's approximation of the GELU, at most 0.02 away from it."""

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return x * (1.702 * x).sigmoid()


class SelfAttentionBlock(nn.Module):
    r"""Self-attention and a two-layer perceptron: the block of CLIP's two encoders. `b n c -> b n c`.

    `causal` makes position i see the positions 0..i only (the text encoder). A stack of blocks with norm="pre" needs
    one more LayerNorm at its end; norm="post" is for comparison.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        causal: bool = False,
        mlp_mult: int = 4,
        norm: Literal["pre", "post"] = "pre",
    ):
        super().__init__()
        self.norm = norm
        self.norm1 = nn.LayerNorm(dim)
        self.attn = MultiHeadAttention(dim, heads, qkv_bias=True, causal=causal)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_mult * dim), QuickGELU(), nn.Linear(mlp_mult * dim, dim))

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        if self.norm == "post":
            x = self.norm1(x + self.attn(x))
            return self.norm2(x + self.mlp(x))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))
