r"""How large the tiles are, and how many warps share one: a small table, and why each entry is what it is.

BLOCK_M queries by BLOCK_N keys; num_stages: how many tiles ahead are being loaded. Larger tiles reread less, until the
registers of a thread (255) or the memory of a multiprocessor (99 KB where it is scarcest) are full.
`python -m minidiffusion_kernels.codegen` compiles every entry, for all lengths, causal and not, and reports registers
and spills; none has been timed.
"""

from dataclasses import asdict, dataclass

import torch


@dataclass(frozen=True)
class Config:
    BLOCK_M: int
    BLOCK_N: int
    num_warps: int
    num_stages: int


# Generations, by compute capability. 8.6 to 8.9 and 12.x have the instructions of 8.0, but ptxas orders them otherwise
# there and runs out of registers sooner; 9.0 multiplies with four warps at a time.
AMPERE, GEFORCE, HOPPER = "8.0", "8.6 to 8.9 and 12.x", "9.0 and 10.x"

# Half precision: kernel -> (generation, widest head) -> its tile
TABLE = {
    "forward": {
        (AMPERE, 64): Config(128, 64, 4, 3),
        (AMPERE, 128): Config(128, 32, 8, 3),
        (GEFORCE, 64): Config(128, 64, 8, 3),
        (GEFORCE, 128): Config(128, 32, 8, 3),
        (HOPPER, 64): Config(128, 64, 4, 3),
        (HOPPER, 128): Config(128, 64, 8, 2),
    },
    "query_gradient": {
        (AMPERE, 32): Config(64, 32, 4, 2),
        (AMPERE, 64): Config(64, 64, 4, 2),
        (AMPERE, 128): Config(64, 32, 4, 2),
        (GEFORCE, 32): Config(64, 32, 4, 2),
        (GEFORCE, 64): Config(64, 64, 4, 2),
        (GEFORCE, 128): Config(32, 32, 4, 2),
        (HOPPER, 64): Config(64, 64, 4, 2),
        (HOPPER, 128): Config(64, 32, 4, 2),
    },
    "key_value_gradient": {
        (AMPERE, 64): Config(32, 64, 4, 2),
        (AMPERE, 128): Config(64, 64, 8, 2),
        (GEFORCE, 64): Config(32, 64, 8, 2),
        (GEFORCE, 128): Config(64, 64, 8, 2),
        (HOPPER, 64): Config(64, 64, 4, 2),
        (HOPPER, 128): Config(32, 64, 8, 2),
    },
}

# Single precision multiplies with ordinary instructions ("ieee", see below), which keep both factors in registers:
# larger tiles soon spill.
FLOAT32 = {
    "forward": dict.fromkeys(TABLE["forward"], Config(32, 32, 8, 1)),
    "query_gradient": {
        **dict.fromkeys(TABLE["forward"], Config(16, 16, 8, 1)),
        (GEFORCE, 64): Config(32, 32, 8, 1),
        (HOPPER, 64): Config(32, 32, 8, 1),
    },
    "key_value_gradient": dict.fromkeys(TABLE["forward"], Config(16, 32, 8, 1)),
}

# The same on tensor cores ("tf32"): its numbers are twice as wide as halves, and its tiles about half as large.
TF32 = {
    "forward": {
        **dict.fromkeys(TABLE["forward"], Config(64, 32, 4, 2)),
        **{(generation, 64): Config(128, 32, 8, 2) for generation in (AMPERE, GEFORCE, HOPPER)},
    },
    "query_gradient": {
        (AMPERE, 64): Config(64, 32, 4, 1),
        (AMPERE, 128): Config(32, 32, 4, 2),
        (GEFORCE, 64): Config(32, 32, 4, 1),
        (GEFORCE, 128): Config(32, 32, 4, 2),
        (HOPPER, 64): Config(64, 32, 4, 1),
        (HOPPER, 128): Config(32, 32, 4, 2),
    },
    "key_value_gradient": {
        **dict.fromkeys(TABLE["forward"], Config(32, 32, 4, 1)),
        (HOPPER, 64): Config(32, 64, 8, 1),
    },
}

INTERPRETED = Config(32, 32, 4, 1)  # small, so that short sequences have a whole tile and a ragged one


def config(kernel: str, capability: tuple[int, int] | None, d: int, dtype: torch.dtype) -> dict[str, int]:
    """The launch options of a kernel on a card of this compute capability (None: interpreted)."""
    if capability is None:
        return asdict(INTERPRETED)
    table = TABLE if dtype != torch.float32 else FLOAT32 if precision(dtype) == "ieee" else TF32
    generation = AMPERE if capability == (8, 0) else HOPPER if capability[0] in (9, 10) else GEFORCE
    widest = min(width for of, width in table[kernel] if of == generation and d <= width)
    return asdict(table[kernel][generation, widest])


def precision(dtype: torch.dtype) -> str:
    r"""float32 products: exact ("ieee"), or with 10-bit mantissas on tensor cores ("tf32") if the user allowed that
    with `torch.set_float32_matmul_precision`. Triton's own default is "tf32", a thousand times less accurate."""
    return "tf32" if dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest" else "ieee"
