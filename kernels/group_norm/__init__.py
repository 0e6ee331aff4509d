r"""Group normalisation with an optional SiLU: the formula (reference) and the fused paths (op)."""

from .op import group_norm

__all__ = ["group_norm"]
