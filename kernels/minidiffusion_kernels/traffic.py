r"""How many bytes does a kernel move? Counted access by access while Triton's interpreter runs it.

    with traffic() as moved:
        group_norm(x, 32, weight, bias, backend="triton")
    moved.loads["x"], moved.stores["y"]  bytes asked for, by the names of the kernel's parameters, without masked lanes
    moved.distinct["x"]  bytes touched at least once: what must cross the memory bus, however good the cache
    moved.strays         accesses outside every tensor that the kernel was given; none is carried out
    moved.atomics        atomic operations, which would make results depend on the order of programs
    moved.stream         with `traffic(stream=True)`: every access, in the order of execution

The bound is exact, element by element: of a sliced tensor only its own elements are in bounds, not what lies between.
"""

import inspect
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import no_type_check
from unittest import mock

import numpy as np
import torch
import triton.language as tl
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction, TensorHandle, interpreter_builder


@dataclass(frozen=True)
class Access:
    r"""What one program loads from or stores to one tensor with one instruction.

    `offsets` are positions in the tensor, counted row by row whatever its strides: `np.unravel_index(offsets, shape)`
    are its indices. In `Traffic.strays` the tensor is "" and `offsets` are addresses in bytes.
    """

    kernel: str
    program: tuple[int, int, int]
    kind: str  # "load" or "store"
    tensor: str
    shape: tuple[int, ...]
    offsets: np.ndarray


@dataclass
class Traffic:
    loads: Counter[str] = field(default_factory=Counter)
    stores: Counter[str] = field(default_factory=Counter)
    stream: list[Access] = field(default_factory=list)
    strays: list[Access] = field(default_factory=list)
    atomics: int = 0
    launches: list["_Launch"] = field(default_factory=list)

    @property
    def distinct(self) -> Counter[str]:
        touched = {}
        for launch in self.launches:
            for owner, (name, x) in enumerate(launch.tensors.items()):
                mine = launch.addresses[launch.touched & (launch.owners == owner)]
                touched.setdefault((name, x.element_size()), []).append(mine)
        return Counter({name: np.unique(np.concatenate(a)).size * size for (name, size), a in touched.items()})


class _Launch:
    """The tensors of the kernel that is running, and which address is which element of which of them."""

    def __init__(self, kernel: str, tensors: dict[str, Tensor]):
        self.kernel, self.tensors = kernel, tensors
        self.names = list(tensors)
        addresses, owners, offsets = [], [], []
        for owner, x in enumerate(tensors.values()):
            steps = [np.arange(n, dtype=np.int64) * stride for n, stride in zip(x.shape, x.stride(), strict=True)]
            grid = sum((step.reshape(-1, *[1] * (x.ndim - 1 - i)) for i, step in enumerate(steps)), np.int64(0))
            addresses.append(np.uint64(x.data_ptr()) + (np.ravel(grid) * x.element_size()).astype(np.uint64))
            owners.append(np.full(x.numel(), owner))
            offsets.append(np.arange(x.numel()))
        # Of two tensors on the same memory, the one named first gets the access: `unique` keeps first occurrences.
        self.addresses, first = np.unique(np.concatenate(addresses), return_index=True)
        self.owners, self.offsets = np.concatenate(owners)[first], np.concatenate(offsets)[first]
        self.touched = np.zeros(len(self.addresses), dtype=bool)


@contextmanager
@no_type_check  # its functions run for every access
def traffic(*, stream: bool = False) -> Iterator[Traffic]:
    """Count what the kernels launched inside the `with` block load and store. See the head of this file."""
    moved = Traffic()
    builder, run = interpreter_builder, InterpretedFunction.run

    def record(kind: str, pointers: TensorHandle, mask: TensorHandle | np.ndarray) -> TensorHandle:
        """Count one access; return the mask without the lanes that went astray."""
        launch = moved.launches[-1]
        wanted = np.asarray(mask.data if isinstance(mask, TensorHandle) else mask, dtype=bool)
        pointed, wanted = np.broadcast_arrays(pointers.data, wanted)
        position = np.minimum(np.searchsorted(launch.addresses, pointed), len(launch.addresses) - 1)
        found = wanted & (launch.addresses[position] == pointed)
        for owner in np.unique(launch.owners[position[found]]):
            name = launch.names[owner]
            x, mine = launch.tensors[name], position[found & (launch.owners[position] == owner)]
            counter = moved.loads if kind == "load" else moved.stores
            counter[name] += mine.size * x.element_size()
            launch.touched[mine] = True
            if stream:
                where = launch.offsets[mine]
                moved.stream.append(Access(launch.kernel, builder.grid_idx, kind, name, tuple(x.shape), where))
        if (found != wanted).any():
            moved.strays.append(Access(launch.kernel, builder.grid_idx, kind, "", (), pointed[wanted & ~found]))
        return TensorHandle(found, tl.int1)

    masked_load, masked_store = builder.create_masked_load, builder.create_masked_store

    def load(pointers, mask, *options, **more):
        return masked_load(pointers, record("load", pointers, mask), *options, **more)

    def store(pointers, value, mask, *options, **more):
        return masked_store(pointers, value, record("store", pointers, mask), *options, **more)

    def counted(operation):
        def atomic(*arguments):
            moved.atomics += 1
            return operation(*arguments)

        return atomic

    def run_recorded(kernel, *arguments, grid, warmup, **options):
        signature = inspect.signature(kernel.fn)
        known = {name: value for name, value in options.items() if name in signature.parameters}
        bound = signature.bind(*arguments, **known).arguments
        tensors = {name.removesuffix("_ptr"): x for name, x in bound.items() if isinstance(x, torch.Tensor)}
        moved.launches.append(
            _Launch(kernel.__name__, tensors)
        )  # kept, so that no address is used twice while we count
        return run(kernel, *arguments, grid=grid, warmup=warmup, **options)

    hooks = {"create_masked_load": load, "create_masked_store": store}
    hooks |= {name: counted(getattr(builder, name)) for name in ("create_atomic_rmw", "create_atomic_cas")}
    with ExitStack() as undo:
        for name, hook in hooks.items():
            undo.enter_context(mock.patch.object(builder, name, hook))
        undo.enter_context(mock.patch.object(InterpretedFunction, "run", run_recorded))
        yield moved
