r"""How a tensor is cut into tiles: the same kernels serve NCHW and channels_last, with other strides and other tiles.

Both are dense: the pixels of a channel are `stride_s` apart, the channels of a pixel `stride_c`, and one of these is 1.
A tile is as wide as it can be along that one, so that neighbouring threads read neighbouring memory.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

TILE = 2048  # elements: 16 for each of 128 threads, in registers
SMALL = 8192  # up to here, the tile of a whole group stays in the registers of one program


def is_channels_last(x: Tensor) -> bool:
    return not x.is_contiguous() and x.movedim(1, -1).is_contiguous()


def dense(x: Tensor, like: Tensor | None = None) -> Tensor:
    """x as it is if it is NCHW or channels_last (or laid out as `like` is), else a copy that is."""
    if is_channels_last(x if like is None else like):
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x.contiguous()


def power_of_2(n: int) -> int:
    """The smallest power of two that is not below n: Triton's tiles have such sides."""
    return 1 << (n - 1).bit_length()


@dataclass(frozen=True)
class Layout:
    r"""N samples, C channels in G groups, S pixels; each channel in T parts of SPLIT pixels (the last is the rest)."""

    N: int
    C: int
    S: int
    G: int
    stride_c: int
    stride_s: int

    @classmethod
    def of(cls, x: Tensor, groups: int) -> "Layout":
        n, c, *rest = x.shape
        s = prod(rest)
        if c * s >= 2**31:
            raise ValueError(f"a sample has {c * s} elements; the kernel counts to 2^31 - 1")
        return cls(n, c, s, groups, *((1, c) if is_channels_last(x) else (s, 1)))

    @property
    def members(self) -> int:
        return self.C // self.G

    @property
    def group_tile(self) -> dict[str, int]:
        """A whole group; its sides are padded to powers of two."""
        block_c, block_s = power_of_2(self.members), power_of_2(self.S)
        warps = min(max(block_c * block_s // 256, 1), 16)  # 8 elements a thread, or 16
        return {"BLOCK_C": block_c, "BLOCK_S": block_s, "num_warps": warps}

    @property
    def small(self) -> bool:
        tile = self.group_tile
        return tile["BLOCK_C"] * tile["BLOCK_S"] <= SMALL

    @property
    def tile(self) -> dict[str, int]:
        if self.stride_s == 1:
            block_s = min(power_of_2(self.S), TILE)
            block_c, warps = min(power_of_2(self.C), TILE // block_s), 4
        else:
            block_c, warps = min(power_of_2(self.C), 64), 8
            block_s = min(power_of_2(self.S), TILE // block_c)
        return {"BLOCK_C": block_c, "BLOCK_S": block_s, "num_warps": warps}

    @property
    def SPLIT(self) -> int:
        """So many pixels that their partial sums weigh less than 1 % of them, and no more: programs run in parallel."""
        return max(self.tile["BLOCK_S"], 512)

    @property
    def T(self) -> int:
        return -(-self.S // self.SPLIT)

    @property
    def split_grid(self) -> tuple[int, int]:
        return self.N * self.T, -(-self.C // self.tile["BLOCK_C"])

    @property
    def tile_grid(self) -> tuple[int, int]:
        return self.N * -(-self.S // self.tile["BLOCK_S"]), -(-self.C // self.tile["BLOCK_C"])

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Memory for y, laid out as x, and for mean and rstd: at least float32, whatever x is."""
        wide = torch.promote_types(x.dtype, torch.float32)
        mean = x.new_empty(self.N, self.G, dtype=wide)
        return torch.empty_like(x), mean, torch.empty_like(mean)
