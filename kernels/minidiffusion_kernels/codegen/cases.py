r"""What is shipped: every combination of dtype, shape and option that makes the compiler produce another kernel.

Attention has heads of four widths (two of tiles' sizes, one narrower, one padded), with and without the causal mask.
Lengths and pixels come as multiples of 16 and not, since the compiler knows that difference and uses it.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

NAMES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
CAPABILITIES = (75, 80, 86, 89, 90, 100, 120)


class Case(NamedTuple):
    launch: Callable[[], None]
    oldest: int  # the first compute capability that it is for


def cases(words: Iterable[str] = ()) -> dict[str, Case]:
    """Those whose name contains all the words, by name."""
    words = tuple(words)
    return {name: case for name, case in {**group_norms(), **attentions()}.items() if all(w in name for w in words)}


def group_norms() -> dict[str, Case]:
    found = {}
    for dtype, shape in itertools.product(NAMES, ((320, 64, 64), (320, 63, 63), (320, 16, 16), (320, 8, 8))):
        for order in ("nchw", "nhwc"):
            name = f"group_norm {NAMES[dtype]} {order} {'x'.join(map(str, shape))}"
            found[name] = Case(group_norm(shape, 32, dtype, order == "nhwc"), 75)
    return found


def attentions() -> dict[str, Case]:
    found = {}
    for d, length, mask in itertools.product((64, 128, 32, 40), (1024, 1023), ("full", "causal")):
        for kind in ("fp16", "bf16", "fp32", "tf32"):
            name = f"attention {kind} d{d} n{length} {mask}"
            found[name] = Case(attention(length, d, kind, mask == "causal"), 80)
    return found


def group_norm(shape: tuple[int, ...], groups: int, dtype: torch.dtype, channels_last: bool) -> Callable[[], None]:
    """Forward and backward with SiLU, as launched, of two samples `c h w`."""

    def launch() -> None:
        from minidiffusion_kernels.group_norm.backward import backward
        from minidiffusion_kernels.group_norm.forward import forward

        x = torch.empty(2, *shape, dtype=dtype, device="meta")
        if channels_last:
            x = x.to(memory_format=torch.channels_last)
        weight = torch.empty(shape[0], dtype=dtype, device="meta")
        y, mean, rstd = forward(x, weight, weight, groups, 1e-5, True)
        backward(y, x, weight, weight, mean, rstd, groups, True)

    return launch


def attention(length: int, d: int, kind: str, causal: bool) -> Callable[[], None]:
    """Forward and backward, as launched, for heads that are slices of one projection, as in a transformer.

    "tf32": float32 where the user has allowed products with mantissas of 10 bits.
    """
    dtype = next((dtype for dtype, name in NAMES.items() if name == kind), torch.float32)

    def launch() -> None:
        from minidiffusion_kernels.attention.backward import backward
        from minidiffusion_kernels.attention.forward import forward

        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
        try:
            q, k, v = torch.empty(2, length, 3, 8, d, dtype=dtype, device="meta").permute(2, 0, 3, 1, 4)
            o, softmax = forward(q, k, v, causal, d**-0.5)
            backward(o, q, k, v, o, softmax, causal, d**-0.5)
        finally:
            torch.set_float32_matmul_precision(before)

    return launch
