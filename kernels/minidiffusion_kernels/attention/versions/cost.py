r"""What a version costs in memory: the bytes that it moves, and the largest tensor that it makes.

    cost(v1_softmax.attention, q, k, v).least

Kernels are counted access by access (`traffic.py`), PyTorch's operators one by one (`operators.py`).
Tensors on PyTorch's "meta" device have shapes and no memory, so there version 0 can be asked about any size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from minidiffusion_kernels.operators import Operators
from minidiffusion_kernels.traffic import Traffic, traffic


@dataclass(frozen=True)
class Cost:
    least: int  # bytes, if each kernel (or operator) reads every number that it needs once and writes every result once
    asked: int | None  # bytes that the programs of kernels ask for; a cache answers some of it
    largest: int  # bytes of the largest tensor made


def cost(attention: Callable[..., Tensor], *arguments: Tensor, **options) -> Cost:
    """The cost of one call of a version that is made of interpreted kernels, or of PyTorch's operators."""
    with traffic(stream=True) as moved:
        attention(*arguments, **options)
    if not moved.launches:
        with Operators() as ran:
            attention(*arguments, **options)
        return Cost(sum(ran.bytes), None, ran.largest)
    asked = sum(moved.loads.values()) + sum(moved.stores.values())
    given = {x.data_ptr() for x in arguments}
    tensors = [x for launch in moved.launches for x in launch.tensors.values()]
    return Cost(_least(moved), asked, max(x.untyped_storage().nbytes() for x in tensors if x.data_ptr() not in given))


def _least(moved: Traffic) -> int:
    """Bytes if no kernel loads a number twice. Each kernel was launched once."""
    size = {(run.kernel, name): x.element_size() for run in moved.launches for name, x in run.tensors.items()}
    touched = {}
    for access in moved.stream:
        touched.setdefault((access.kernel, access.tensor, access.kind), []).append(access.offsets)
    return sum(size[kernel, name] * np.unique(np.concatenate(x)).size for (kernel, name, _), x in touched.items())
