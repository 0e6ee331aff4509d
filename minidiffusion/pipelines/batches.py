r"""How many pictures are drawn at once: small ones all together, large ones one at a time."""

from collections.abc import Sequence

LARGEST_AT_ONCE = 128
"""In pixels. A picture of 512 x 512 needs a gigabyte on its way through the networks."""


def batches(seeds: Sequence[int], width: int, height: int) -> list[list[int]]:
    r"""The seeds of pictures of that size, batch by batch. The pictures do not depend on it."""
    together = max(width, height) <= LARGEST_AT_ONCE
    return [list(seeds)] if together else [[seed] for seed in seeds]
