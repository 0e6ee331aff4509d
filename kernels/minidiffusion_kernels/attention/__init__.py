r"""Scaled dot-product attention: the article's formula (reference) and the fused paths (op)."""

from minidiffusion_kernels.attention.op import attention
from minidiffusion_kernels.attention.reference import attention_weights

__all__ = ["attention", "attention_weights"]
