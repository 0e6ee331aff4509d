r"""Attention: queries, keys and values, from the formula to transformer blocks (article 2.3, 3.3, 4.2).

The fused operator that networks call comes from the package minidiffusion_kernels.

    scaled_dot_product   the formula, for any similarity, and the fused operator
    multi_head           several attentions side by side
    block                transformer blocks: attention and a feed-forward layer
    maps                 attention maps, recorded while a network runs
"""

from .block import GEGLU, CrossAttentionBlock, FeedForward, QuickGELU, SelfAttentionBlock
from .maps import attention_maps
from .multi_head import MultiHeadAttention
from .scaled_dot_product import attention, attention_weights, scaled_dot_product

__all__ = [
    "GEGLU", "CrossAttentionBlock", "FeedForward", "MultiHeadAttention", "QuickGELU", "SelfAttentionBlock", "attention",
    "attention_maps", "attention_weights", "scaled_dot_product",
]  # fmt: skip
