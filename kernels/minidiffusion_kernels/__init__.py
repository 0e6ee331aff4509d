r"""Attention, and GroupNorm with the SiLU after it, each fused in Triton beside the PyTorch formula it must agree with.

    from minidiffusion_kernels import attention, group_norm

At the root these are the two functions, not the packages of the same names that hold them. Importing this needs torch
and nothing else: Triton is loaded when a kernel first runs, or when a module that contains one is imported. The folder
around it is `kernels/`; the import name is longer because `kernels` on PyPI is another project, Hugging Face's.
"""

from minidiffusion_kernels.attention import attention
from minidiffusion_kernels.backend import auto_is
from minidiffusion_kernels.group_norm import group_norm

__all__ = ["attention", "auto_is", "group_norm"]
