r"""How a tensor is cut into tiles: the same kernels serve NCHW and channels_last, with other strides and other tiles.

Both are dense: the pixels of a channel are `stride_s` apart, the channels of a pixel `stride_c`, and one of these is 1.
A tile is as wide as it can be along that one, so that neighbouring threads read neighbouring memory.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

TILE = 2048  # elements: 8 for each of 256 threads, in registers
SPLIT = 512  # pixels at least: then what a program knows of its channels weighs less than 1 % of them
FUSED = {"enable_fp_fusion": True}  # a * b + c is one instruction, rounded once: said, as the default will change
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


def options(block_c: int, block_s: int) -> dict[str, int]:
    """How to launch a kernel on tiles of these sides."""
    warps = max(block_c * block_s // 256, 1)  # 8 elements a thread: of 16 bits, one access
    return {"BLOCK_C": block_c, "BLOCK_S": block_s, "num_warps": warps, **FUSED}


@dataclass(frozen=True)
class Layout:
    r"""N samples, C channels in groups of `members`, S pixels in T parts; the strides of channels and of pixels."""

    N: int
    C: int
    S: int
    members: int
    stride_c: int
    stride_s: int

    @classmethod
    def of(cls, x: Tensor, groups: int) -> "Layout":
        n, c, *rest = x.shape
        s = prod(rest)
        if c * s >= 2**31:
            raise ValueError(f"a sample has {c * s} elements; the kernel counts to 2^31 - 1")
        return cls(n, c, s, c // groups, *((1, c) if is_channels_last(x) else (s, 1)))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The arguments that every kernel gets."""
        return self.C, self.S, self.members, self.T, self.stride_c, self.stride_s

    @property
    def small(self) -> bool:
        return power_of_2(self.members) * power_of_2(self.S) <= SMALL

    @property
    def group(self) -> dict[str, int]:
        """The tile of a small group: all of it, its sides padded to powers of two."""
        return options(power_of_2(self.members), power_of_2(self.S))

    @property
    def part(self) -> dict[str, int]:
        """The tile in which a program goes through its part: a row of one channel, or a column for 64."""
        block_c = 1 if self.stride_s == 1 else min(power_of_2(self.C), 64)
        block_s = min(power_of_2(self.S), TILE // block_c)
        return {"SPLIT": max(block_s, SPLIT), **options(block_c, block_s)}

    @property
    def T(self) -> int:
        return -(-self.S // self.part["SPLIT"])

    @property
    def grid_of_parts(self) -> tuple[int, int]:
        """One program a part of SPLIT pixels of BLOCK_C channels."""
        return self.N * self.T, -(-self.C // self.part["BLOCK_C"])

    @property
    def grid_of_groups(self) -> tuple[int]:
        return (self.N * (self.C // self.members),)

    @property
    def moments(self) -> dict[str, int]:
        """How many parts of a group are merged at a time."""
        return {"SPLIT": self.part["SPLIT"], "BLOCK": min(power_of_2(self.members * self.T), 512), **FUSED}

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Memory for y, laid out as x, and for mean and rstd: at least float32, whatever x is."""
        wide = torch.promote_types(x.dtype, torch.float32)
        mean = x.new_empty(self.N, self.C // self.members, dtype=wide)
        return torch.empty_like(x), mean, torch.empty_like(mean)
