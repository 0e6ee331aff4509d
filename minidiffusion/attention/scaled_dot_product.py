r"""Scaled dot-product attention (article 2.3.1, 3.3.2, 4.2.1): the one formula every attention here goes through.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V

The formula itself is `kernels/attention/reference.py`, where the fused kernel that must agree with it lives next door.
`scaled_dot_product` computes the output, `attention_weights` the map softmax(Q K^T / sqrt(d_k)) that lessons draw.
"""

from kernels.attention import attention as scaled_dot_product
from kernels.attention import attention_weights

__all__ = ["attention_weights", "scaled_dot_product"]
