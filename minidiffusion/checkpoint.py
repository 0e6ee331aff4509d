r"""Checkpoints: weights and training state on disk, written atomically and validated when read.

A model is two files, `NAME.safetensors` (the tensors) and `NAME.json` (its frozen config dataclass). Neither format can
contain code, so opening an untrusted file runs nothing. The state of a training is one `torch.save` file, opened with
`weights_only=True` for the same reason.

Whatever is wrong with a file (missing, truncated, a bit flipped, a renamed pickle, another network's weights), the
result is a `CheckpointError` with one sentence.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import sys
import types
import typing
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


class CheckpointError(Exception):
    """A file cannot be written, or is not what it should be; the message is one sentence."""


@contextlib.contextmanager
def explained(action: str, path: str | os.PathLike) -> Iterator[None]:
    """Turns an OSError into a CheckpointError: "Cannot write a/b.json: No space left on device."."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"Cannot {action} {path}: {error.strerror or error}.") from error


# ---------------------------------------------------------------------------------------------------- writing


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    r"""Writes `data` to `path`, so that a crash at any moment leaves the old file or the new one, never a mixture.

    The order matters. (1) Write a temporary file in the *same folder*, since a rename is atomic only within a file
    system. (2) fsync it, or the rename may reach the disk before the bytes do. (3) `os.replace`. (4) fsync the folder,
    which is where the rename itself is recorded.

    Raises `CheckpointError` if the folder is missing, not writable or full, and then leaves no temporary file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained("write", path):
        try:
            with open(temporary, "wb") as file:  # unlike tempfile, open() respects the umask
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):  # exists only after a failure
                temporary.unlink()


def make_folder(folder: str | os.PathLike) -> Path:
    """The folder, made with its parents when it is missing; `CheckpointError` when it cannot be."""
    with explained("make the folder", folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder, and records a rename by itself
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_model(
    folder: str | os.PathLike, name: str, module: nn.Module, config: Any, dtype: torch.dtype | None = None
) -> None:
    r"""Writes `NAME.safetensors` and `NAME.json` into `folder` (made when missing), each atomically.

    `dtype=torch.float16` halves the file: floating-point tensors are rounded to 11 significant bits on disk and read
    as float32. Raises `CheckpointError` for numbers that are not finite, before or after that rounding.
    """
    tensors = {}
    for key, tensor in module.state_dict().items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.to(dtype or tensor.dtype)
            if not tensor.isfinite().all():
                raise CheckpointError(f"{name}: {key} must be finite numbers in the range of {tensor.dtype}.")
        tensors[key] = tensor.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory
    folder = make_folder(folder)
    write_atomically(folder / f"{name}.safetensors", safetensors.torch.save(tensors))
    text = json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / f"{name}.json", text.encode())


def file_hash(path: str | os.PathLike) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with explained("read", path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------------------------------------------- reading


def check_hashes(index: str | os.PathLike, sha256: dict[str, str], names: Iterable[str]) -> None:
    r"""`CheckpointError` unless every file beside `index` has the hash that the index names."""
    for name in names:
        path = Path(index).parent / name
        if sha256.get(name) != file_hash(path):
            raise CheckpointError(f"{path} is damaged or newer than {Path(index).name}, which names another file.")


def load_model(folder: str | os.PathLike, name: str, config_class: type, model_class: type[M]) -> M:
    r"""The module that `save_model(folder, name, ...)` wrote: float32, on the CPU, in eval mode.

    Raises `CheckpointError` unless the JSON holds exactly the fields of `config_class`, the safetensors file exactly
    the tensors of `model_class(config)` by name and shape, and every number is finite.
    """
    folder = Path(folder)
    config = load_config(folder / f"{name}.json", config_class)
    path = folder / f"{name}.safetensors"
    stored = read_tensors(path)
    try:
        model = model_class(config)
    except Exception as error:  # fields of the right types whose values make no network
        raise CheckpointError(f"{folder / name}.json does not describe a {model_class.__name__}: {error}") from error
    return fill(model, stored, path)


def fill(model: M, stored: dict[str, torch.Tensor], path: str | os.PathLike, *, assign: bool = False) -> M:
    r"""`model` with the stored tensors in float32, in eval mode; `CheckpointError` unless all fit and are finite.

    assign: the stored tensors become the model's own instead of being copied into it. For a large model made on the
    meta device, where it has shapes but no numbers, so that nothing is in memory twice.
    """
    problems = _mismatches(model.state_dict(), stored)
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{path} does not fit {type(model).__name__}: {'; '.join(problems[:5])}{more}.")
    if assign:
        stored = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in stored.items()}
    model.load_state_dict(stored, assign=assign)
    for key, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path} is damaged: {key} has numbers that are NaN or infinite.")
    return model.eval()


def read_tensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    r"""The tensors of a safetensors file, memory-mapped: they are read from the disk when they are used."""
    with explained("read", path), open(path, "rb"):
        pass  # a missing file is not a damaged one
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # the parser raises many types, all of which mean the same
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}).") from error


def _mismatches(expected: dict[str, torch.Tensor], stored: dict[str, torch.Tensor]) -> list[str]:
    problems = [f"{key} is missing" for key in expected if key not in stored]
    problems += [f"{key} is unknown" for key in stored if key not in expected]
    for key in (key for key in expected if key in stored):
        want, have = expected[key], stored[key]
        if want.shape != have.shape:
            problems.append(f"{key} has shape {list(have.shape)} instead of {list(want.shape)}")
        elif want.is_floating_point() != have.is_floating_point():
            problems.append(f"{key} holds {have.dtype} instead of {want.dtype}")
    return problems


def load_config(path: str | os.PathLike, config_class: type) -> Any:
    """The dataclass `config_class` from a JSON file; `CheckpointError` unless the fields and their types agree."""
    return make_config(read_json(path), config_class, path)


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file; `CheckpointError` if it is not JSON."""
    with explained("read", path):
        data = Path(path).read_bytes()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}).") from error


def make_config(fields: Any, config_class: type, path: str | os.PathLike) -> Any:
    """The dataclass `config_class` from the decoded JSON `fields`; `path` is for the text of a `CheckpointError`."""
    try:
        return _decode(fields, config_class, Path(path).stem)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a {config_class.__name__}: {error}") from error


def _decode(value: Any, kind: Any, where: str) -> Any:
    """The decoded JSON `value` as type `kind`: JSON has lists but no tuples, dicts but no dataclasses."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        names = {field.name for field in dataclasses.fields(kind)}
        if names != value.keys():
            missing = [f"lacks the field {name}" for name in sorted(names - value.keys())]
            unknown = [f"has the unknown field {name:.40}" for name in sorted(value.keys() - names)]
            raise ValueError(f"{where} {', '.join((missing + unknown)[:5])}.")
        return kind(**{name: _decode(value[name], hints[name], f"{where}.{name}") for name in value})
    if origin is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(_decode(value[i], kinds[i], f"{where}[{i}]") for i in range(len(value)))
    if origin is dict and isinstance(value, dict):  # JSON's keys are strings, so `kind` is dict[str, something]
        return {key: _decode(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _decode(value, option, where)
            except (TypeError, ValueError):
                continue
    if origin is typing.Literal and value in arguments:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # NaN, infinite, or an integer of 400 digits
            raise ValueError(f"{where} is {value!r:.60}, which is not a finite number.")
        return float(value)
    if kind in (int, bool, str, type(None)) and type(value) is kind:  # type(), since True is an instance of int
        return value
    raise TypeError(f"{where} is {value!r:.60}, which is not {getattr(kind, '__name__', kind)}.")


# ---------------------------------------------------------------------------------------------------- training state


def save_state(path: str | os.PathLike, state: dict[str, Any]) -> None:
    """Writes a dict of tensors, numbers and strings, which may be nested, as one file, atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: str | os.PathLike) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU. Raises `CheckpointError` for anything but tensors and plain values."""
    with explained("read", path), open(path, "rb"):
        pass  # a missing file is not a damaged one
    try:
        # torch.save writes a zip, in which every entry has a checksum; torch.load does not verify them, zipfile does.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of its entry {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile, pickle and torch raise different types
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{path} is not a whole training checkpoint ({reason:.200}).") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a training checkpoint: it holds a {type(state).__name__}.")
    return state
