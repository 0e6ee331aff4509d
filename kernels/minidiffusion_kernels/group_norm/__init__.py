r"""Group normalisation with an optional SiLU: the formula (reference) and the fused paths (op)."""

from minidiffusion_kernels.group_norm.op import group_norm

__all__ = ["group_norm"]
