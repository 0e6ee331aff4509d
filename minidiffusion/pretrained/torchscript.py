r"""The tensors of a TorchScript archive, without running it.

OpenAI published its CLIPs as TorchScript: a zip with the program (`code/`), the numbers (`data/0`, `data/1`, ...) and a
pickle, `data.pkl`, that says which numbers are whose. `torch.jit.load` would take the program in as well; PyTorch's
advice is to do that only with programs that one trusts. The numbers alone need neither program nor trust. A pickle is a
list of instructions in which only the names of functions and classes can do harm; here those names lead to three
harmless things, and any other name is refused:

    __torch__.*                        an empty object, whose attributes are then filled in
    torch._utils._rebuild_tensor_v2    a view of stored numbers
    torch.*Storage, torch.jit._pickle  which kind of number it is; lists of plain values
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, explained

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LARGEST = 8 * 2**30


class Part:
    r"""A module of the archive: nothing but attributes."""


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    r"""{dotted name: tensor}, as `torch.jit.load(path).state_dict()` would give. Raises CheckpointError."""
    with explained("read", path), open(path, "rb"):
        pass
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickles = [name for name in names if name.endswith("/data.pkl")]
            program = any("/code/" in name for name in names)
            if len(pickles) != 1 or not program:
                raise CheckpointError(
                    f"{path} is no TorchScript archive; if it is a pickle, opening it could run anything. Save its "
                    "tensors as .safetensors."
                )
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise ValueError("it would unpack to more than 8 GiB")
            root = Reader(archive, pickles[0]).load()
        return dict(tensors_of(root))
    except CheckpointError:
        raise
    except Exception as error:  # zip and pickle have their own types for "damaged"
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} is not a whole TorchScript archive ({reason:.200}).") from error


class Reader(pickle.Unpickler):
    r"""An unpickler that admits only the classes of a weights file, so that no code runs.

    The numbers come from the zip, whose checksums are compared.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str):
        super().__init__(archive.open(name))
        self.archive, self.folder = archive, name.removesuffix("data.pkl")
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return Part
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return view
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if module == "torch.jit._pickle":
            return plain
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no set of weights needs")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, _ = pid
        if key not in self.storages:
            data = self.archive.read(f"{self.folder}data/{key}")
            self.storages[key] = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self.storages[key]


def view(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


def plain(values: Any, *_: Any) -> Any:
    return values


def tensors_of(part: Part, prefix: str = "") -> list[tuple[str, Tensor]]:
    r"""All tensors under a part, each with its path."""
    found = []
    for name, value in vars(part).items():
        if isinstance(value, Tensor):
            found.append((prefix + name, value))
        elif isinstance(value, Part):
            found += tensors_of(value, f"{prefix}{name}.")
    return found
