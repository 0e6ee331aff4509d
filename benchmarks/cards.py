r"""What NVIDIA says its cards can do: bytes a second from memory, and FLOPs a second in half precision.

From the datasheets ("NVIDIA T4", "NVIDIA A100", "NVIDIA H100 Tensor Core GPU", "NVIDIA H200"): peak memory bandwidth,
and the peak of FP16 tensor cores for dense matrices (those of the H100 and H200 print twice that, "with sparsity").
No program reaches either.
"""

import re
from typing import NamedTuple


class Card(NamedTuple):
    name: str
    capability: tuple[int, int]
    gigabytes: float
    """a second"""
    teraflops: float
    words: set[str]
    """All are in the name that the driver gives the card."""

    def seconds(self, moved: float, flops: float) -> float:
        r"""No faster than memory, and no faster than arithmetic (Williams et al. 2009)."""
        return max(moved / (self.gigabytes * 1e9), flops / (self.teraflops * 1e12))


CARDS = (
    Card("T4", (7, 5), 320, 65, {"T4"}),
    Card("A100 40GB", (8, 0), 1555, 312, {"A100", "40GB"}),
    Card("H100 SXM", (9, 0), 3350, 990, {"H100", "HBM3"}),
    Card("A100 80GB SXM", (8, 0), 2039, 312, {"A100", "SXM4", "80GB"}),
    Card("H200 SXM", (9, 0), 4800, 990, {"H200"}),
)
MODELLED = CARDS[:3]


def limits(name: str) -> Card | None:
    r"""The card that the driver calls so; None if it is not in the list."""
    return next((card for card in CARDS if card.words <= {*re.findall(r"\w+", name)}), None)
