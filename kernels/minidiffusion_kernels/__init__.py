r"""Fused GPU kernels, each beside the PyTorch formula it must agree with. Imports nothing but torch (and triton)."""
