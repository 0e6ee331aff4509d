r"""Attention five times, from the formula to what is shipped. Each header says what changes, and what it buys.

    version("v2_online").attention(q, k, v)        q: `b h m d`, k and v: `b h n d`, contiguous -> `b h m d`

From v3_masks on there is `causal` as well. v1 to v4 are Triton's, and are imported only when they are asked for.
"""

from importlib import import_module
from types import ModuleType

__all__ = ["VERSIONS", "version"]

VERSIONS = {
    "v0_formula": "three lines of PyTorch: the matrix of weights passes through memory six times",
    "v1_softmax": "the same as three kernels: four times",
    "v2_online": "one kernel with a running softmax: never; whole tiles only",
    "v3_masks": "any lengths, cross-attention, causal; keeps the logarithm of the denominator",
    "v4_tuned": "what is shipped: as many bytes in fewer instructions, any strides, a backward pass",
}


def version(name: str) -> ModuleType:
    """The file of that name. Raises ValueError for one that is not in VERSIONS."""
    if name not in VERSIONS:
        raise ValueError(f"no version {name!r}; there are: {', '.join(VERSIONS)}")
    return import_module(f"{__name__}.{name}")
