r"""Scaled dot-product attention: the article's formula (reference) and the fused paths (op)."""

from .op import attention
from .reference import attention_weights

__all__ = ["attention", "attention_weights"]
