r"""Which of PyTorch's operators run, and how many bytes do they move? What `traffic.py` counts for our kernels.

    with Operators() as ran:
        F.silu(F.group_norm(x, 32))
    ran.names    ["aten.native_group_norm.default", "aten.silu.default"]
    ran.bytes    what each reads and writes: they do not tell what they ask for, so arguments count as read once and
                 results as written once
    ran.largest  bytes of the largest tensor made

Views move nothing and are left out. Tensors on the device "meta" have shapes and no memory, so any size can be asked.
"""

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Statistics first, then their use: these read twice what they normalise (forward x; backward dy and x).
TWICE = {"native_group_norm": 1, "native_group_norm_backward": 2}


class Operators(TorchDispatchMode):
    r"""Counts what runs inside the `with` block. See the head of this file."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []
        self.bytes: list[int] = []
        self.largest = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        name = operator.overloadpacket.__name__
        if operator.is_view or name == "_unsafe_view":
            return result
        read = [x for x in args if isinstance(x, Tensor)]
        written = [x for x in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(x, Tensor)]
        self.names.append(str(operator))
        self.bytes.append(sum(map(occupied, [*read, *read[: TWICE.get(name, 0)], *written])))
        self.largest = max([self.largest, *map(occupied, written)])
        return result


def occupied(x: Tensor) -> int:
    r"""The bytes of a tensor; one that was expanded has fewer in memory than numbers."""
    return min(x.nbytes, x.untyped_storage().nbytes())
