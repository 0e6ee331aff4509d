r"""The exercises of lesson 11: the time embedding, a residual block, and the plan of the skip connections."""

import torch
import torch.nn.functional as F

from lessons.check import Exercise, Exercises
from minidiffusion.networks.convolution import ResnetBlock
from minidiffusion.networks.embedding import sinusoidal_embedding


def time_embedding(t, dim):
    r"""Cosines, then sines, of t at dim/2 frequencies: t `b` -> `b dim`, by the library."""
    return sinusoidal_embedding(t, dim)


def time_cases():
    yield torch.tensor([0.0, 1.0, 2.5]), 4
    yield torch.tensor([10, 500, 999]), 16
    yield torch.tensor([3]), 6


def residual_block(x, time, block):
    r"""What the library's block does with its parts: x `b c_in h w`, time `b d` -> `b c_out h w`."""
    return block(x, time)


class Block(ResnetBlock):
    r"""Four groups, a time of width 12, and random numbers in every parameter, the norms' too."""

    def __init__(self, c_in: int, c_out: int):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__(c_in, c_out, groups=4, eps=1e-5, time_dim=12)
            for parameter in self.parameters():
                parameter.requires_grad_(False).add_(0.2 * torch.randn_like(parameter))

    def __repr__(self) -> str:
        return f"block from {self.conv1.in_channels} to {self.conv1.out_channels} channels"


BLOCKS = Block(8, 8), Block(8, 12)


def block_cases():
    generator = torch.Generator().manual_seed(0)
    for block, side in zip(BLOCKS, (4, 6), strict=True):
        yield torch.randn(2, 8, side, side, generator=generator), torch.randn(2, 12, generator=generator), block


def skip_plan(channels, layers_per_block):
    r"""How many channels each residual block on the way up takes from the stack, in the order in which it runs."""
    stack = [channels[0]]
    for i, c in enumerate(channels):
        last = i == len(channels) - 1
        stack += [c] * (layers_per_block + (not last))
    return stack[::-1]


def plan_cases():
    yield [64, 128], 1
    yield [320, 640, 1280, 1280], 2
    yield [8, 16, 24], 3


# ------------------------------------------------------------------------------------------------- likely mistakes


def embedded(t, dim, frequency, join=lambda angle: torch.cat([angle.cos(), angle.sin()], dim=-1)):
    r"""An embedding with other frequencies, frequency(i, dim/2), or joined in another way."""
    angle = t.float()[:, None] * frequency(torch.arange(dim // 2), dim // 2)
    return join(angle)


def geometric(i, half):
    return 10_000 ** (-i / half)


def in_block(x, time, block, *, silu=F.silu, when="between", norm2=True, path=None):
    r"""A residual block with one thing wrong: when the time is added, a norm, or the path(x, block) around it."""
    told = block.time_emb_proj(silu(time))[:, :, None, None]
    h = block.conv1(block.norm1(x)) + told * (when == "between")
    h = (block.norm2(h) if norm2 else F.silu(h)) + told * (when == "after norm2")
    h = block.conv2(h) + told * (when == "at the end")
    return h + (path or around)(x, block)


def around(x, block):
    return x if block.conv_shortcut is None else block.conv_shortcut(x)


def stacked(channels, layers, start=1, downs=True, last_down=False):
    r"""A stack with something missing, or too much."""
    stack = [channels[0]] * start
    for i, c in enumerate(channels):
        stack += [c] * (layers + (downs and (last_down or i < len(channels) - 1)))
    return stack


check = Exercises(
    time_embedding=Exercise(
        time_embedding,
        time_cases,
        mistakes={
            "cosines come first, as in Stable Diffusion; here the sines do":
                lambda t, dim: embedded(t, dim, geometric, lambda a: torch.cat([a.sin(), a.cos()], dim=-1)),
            "all cosines come before all sines; here they alternate":
                lambda t, dim: embedded(t, dim, geometric, lambda a: torch.stack([a.cos(), a.sin()], -1).flatten(1)),
            "the exponent runs over i / (dim/2), not i / dim: the slowest frequency should come near 1/10,000":
                lambda t, dim: embedded(t, dim, lambda i, half: 10_000 ** (-i / (2 * half))),
            "the exponent divides by dim/2, not by dim/2 - 1; some codes end exactly at 1/10,000, this one does not":
                lambda t, dim: embedded(t, dim, lambda i, half: 10_000 ** (-i / (half - 1))),
            "frequencies fall from 1; a minus is missing in the exponent":
                lambda t, dim: embedded(t, dim, lambda i, half: 10_000 ** (i / half)),
            "frequencies fall geometrically, by one factor from each to the next, not evenly":
                lambda t, dim: embedded(t, dim, lambda i, half: 1 - i / half),
        },
    ),
    residual_block=Exercise(
        residual_block,
        block_cases,
        mistakes={
            "the path around the block is missing: add x, or conv_shortcut(x) where the channels differ":
                lambda x, time, block: in_block(x, time, block, path=lambda x, block: 0),
            "x itself goes around the block, not the normalised x":
                lambda x, time, block: in_block(x, time, block, path=lambda x, block: around(block.norm1(x), block)),
            "the time has a SiLU before its projection":
                lambda x, time, block: in_block(x, time, block, silu=lambda time: time),
            "the time is added before norm2, so that its SiLU can switch channels by it; here after norm2":
                lambda x, time, block: in_block(x, time, block, when="after norm2"),
            "the time is added between the convolutions, not at the end: there no SiLU follows":
                lambda x, time, block: in_block(x, time, block, when="at the end"),
            "the time is missing":
                lambda x, time, block: in_block(x, time, block, when="never"),
            "norm2 is missing":
                lambda x, time, block: in_block(x, time, block, norm2=False),
        },
    ),
    skip_plan=Exercise(
        skip_plan,
        plan_cases,
        mistakes={
            "a stack gives back last what it got first; this is the order in which it was filled":
                lambda c, n: stacked(c, n),
            "what conv_in makes is kept as well":
                lambda c, n: stacked(c, n, start=0)[::-1],
            "what a Downsample makes is kept as well":
                lambda c, n: stacked(c, n, downs=False)[::-1],
            "the lowest level has no Downsample, so it puts nothing more on the stack":
                lambda c, n: stacked(c, n, last_down=True)[::-1],
            "a level on the way up has layers_per_block + 1 residual blocks, and each takes one skip":
                lambda c, n: [x for x in c[::-1] for _ in range(n)],
            "the extra skip of a level is what came down into it, and has the channels of the level above":
                lambda c, n: [x for x in c[::-1] for _ in range(n + 1)],
        },
    ),
)  # fmt: skip
