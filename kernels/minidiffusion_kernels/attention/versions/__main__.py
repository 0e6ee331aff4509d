r"""The loop over keys of versions 2 to 4, compiled for equal tiles. No GPU is needed, and nothing is timed.

    python -m minidiffusion_kernels.attention.versions

One line for each: how many instructions a tile of keys takes, and how many of them multiply, compare, select or take
a power of two. "other" is mostly the arithmetic of addresses and masks.
"""

from unittest import mock

import torch

from minidiffusion_kernels.attention import forward as shipped
from minidiffusion_kernels.attention.versions import v2_online, v3_masks, v4_tuned
from minidiffusion_kernels.codegen.compile import compiling_for
from minidiffusion_kernels.codegen.measure import measure

# Version 4 gets the tile that the others have. With three stages, which is Triton's default, it spills at this one.
TILE = {"BLOCK_M": 64, "BLOCK_N": 64, "num_warps": 4, "num_stages": 2}


def main() -> None:
    x = torch.empty(1, 8, 1024, 64, dtype=torch.float16, device="meta")
    for cc in (80, 90):
        with compiling_for(cc) as launches, mock.patch.object(shipped, "config", lambda *_: TILE):
            v2_online.attention(x, x, x, block=64)
            v3_masks.attention(x, x, x, block=64)
            v3_masks.attention(x, x, x, causal=True, block=64)
            v4_tuned.attention(x, x, x)
            v4_tuned.attention(x, x, x, causal=True)
        for name, launch in zip(("v2", "v3", "v3 causal", "v4", "v4 causal"), launches, strict=True):
            row = measure(name, cc, launch)
            print(f"sm_{cc} {name:9} registers {row.registers} spills {row.spills} loop {row.loop}: {row.loop_mix}")


if __name__ == "__main__":
    main()
