r"""Multi-head attention: several small attentions side by side (article 2.3.3, 3.3.1, 4.2.2).

    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O,    head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)

Self-attention takes queries, keys and values from one sequence; cross-attention takes keys and values from another: the
tokens of the prompt, which condition the picture in this way.
"""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from .scaled_dot_product import attention_weights, scaled_dot_product


class MultiHeadAttention(nn.Module):
    r"""Attention of x over itself or over a context, in `heads` heads.

    The parameter names are those of Stable Diffusion's checkpoints: `to_q`, `to_k`, `to_v`, `to_out.0`.
    Raises ValueError when `dim` is not divisible by `heads`.
    """

    def __init__(
        self, dim: int, heads: int, context_dim: int | None = None, *, qkv_bias: bool = False, causal: bool = False
    ):
        super().__init__()
        if dim % heads:
            raise ValueError(f"the channels must be divisible by {heads} heads, got {dim}")
        context_dim = dim if context_dim is None else context_dim
        self.heads, self.causal = heads, causal
        self.to_q = nn.Linear(dim, dim, bias=qkv_bias)
        self.to_k = nn.Linear(context_dim, dim, bias=qkv_bias)
        self.to_v = nn.Linear(context_dim, dim, bias=qkv_bias)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    def split_heads(self, x: Float[Tensor, "b n hd"]) -> Float[Tensor, "b h n d"]:
        return rearrange(x, "b n (h d) -> b h n d", h=self.heads)

    def forward(
        self, x: Float[Tensor, "b m c"], context: Float[Tensor, "b n e"] | None = None
    ) -> Float[Tensor, "b m c"]:
        context = x if context is None else context
        q, k, v = (self.split_heads(tokens) for tokens in (self.to_q(x), self.to_k(context), self.to_v(context)))
        heads = scaled_dot_product(q, k, v, causal=self.causal)
        return self.to_out[0](rearrange(heads, "b h m d -> b m (h d)"))

    def weights(
        self, x: Float[Tensor, "b m c"], context: Float[Tensor, "b n e"] | None = None
    ) -> Float[Tensor, "b h m n"]:
        r"""The attention maps of `forward`: row i holds the weights of query i."""
        context = x if context is None else context
        q, k = self.split_heads(self.to_q(x)), self.split_heads(self.to_k(context))
        return attention_weights(q, k, causal=self.causal)
