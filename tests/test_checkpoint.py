import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import pickle
import struct
from dataclasses import dataclass
from typing import Literal

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from minidiffusion.checkpoint import (
    CheckpointError,
    file_hash,
    load_config,
    load_model,
    load_state,
    save_model,
    save_state,
    write_atomically,
)


@dataclass(frozen=True)
class Inner:
    depth: int = 2


@dataclass(frozen=True)
class Config:
    width: int = 4
    channels: tuple[int, ...] = (1, 2, 3)
    pair: tuple[int, str] = (1, "a")
    rate: float = 0.5
    name: str | None = None
    kind: Literal["eps", "v"] = "eps"
    flag: bool = True
    classes: dict[str, int] = dataclasses.field(default_factory=lambda: {"colour": 8})
    inner: Inner = Inner()

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width must be at least 1, not {self.width}.")


class Network(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        if config.width > 1000:
            raise RuntimeError("too wide")
        self.linear = nn.Linear(config.width, 2)
        self.norm = nn.BatchNorm1d(2)  # buffers, one of them an integer
        self.register_buffer("table", torch.arange(3.0), persistent=False)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = Network(Config())
    save_model(tmp_path, "net", network, Config())
    return tmp_path, network


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------ writing


def test_written_whole_with_the_rights_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.bin", b"first")
        write_atomically(str(tmp_path / "a.bin"), b"second")
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").read_bytes() == b"second"
    assert names(tmp_path) == ["a.bin"]
    if os.name == "posix":
        assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor):
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        real_fsync(descriptor)

    def replace(source, target):
        assert os.path.getsize(source) == 3  # flushed
        events.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "a", b"abc")
    if os.path.isdir("/proc/self/fd"):
        assert events == ["file", "replace", "folder"]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, where):
    (tmp_path / "a").write_bytes(b"old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, where, full)
    with pytest.raises(CheckpointError, match=r"^Cannot write .*a: No space left on device\.$"):
        write_atomically(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_a_file_that_the_system_cuts_short_leaves_the_old_one(tmp_path):
    resource = pytest.importorskip("resource")  # a limit on the size of files: a write that really fails half-way
    (tmp_path / "a").write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"^Cannot write .*a: File too large\.$"):
            write_atomically(tmp_path / "a", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_an_interrupt_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_missing_and_impossible_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"^Cannot write .*gone/a: No such file or directory\.$"):
        write_atomically(tmp_path / "gone" / "a", b"")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"^Cannot make the folder .*file/run: Not a directory\.$"):
        save_model(tmp_path / "file" / "run", "net", Network(Config()), Config())
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match=r"^Cannot write .*folder: Is a directory\.$"):
        write_atomically(tmp_path / "folder", b"")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(os.name != "posix", reason="needs the rights of POSIX")
def test_a_folder_without_the_right_to_write_is_named(tmp_path):
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write anywhere, so be nobody for a moment
    try:
        with pytest.raises(CheckpointError, match=r"^Cannot write .*a: Permission denied\.$"):
            write_atomically(tmp_path / "a", b"")
    finally:
        os.seteuid(user)
    assert names(tmp_path) == []


# ------------------------------------------------------------------------------------------------ a model and back


def test_model_comes_back_to_the_bit_in_eval_mode(saved):
    folder, network = saved
    loaded = load_model(folder, "net", Config, Network)
    assert names(folder) == ["net.json", "net.safetensors"]
    assert not loaded.training and network.training
    want, have = network.state_dict(), loaded.state_dict()
    assert want.keys() == have.keys() and all(torch.equal(want[key], have[key]) for key in want)


def test_float16_on_disk_is_float32_in_memory(saved, tmp_path):
    _, network = saved
    network.norm.num_batches_tracked.fill_(70_000)  # an integer: not rounded to float16, where it would be infinite
    save_model(tmp_path / "half", "net", network, Config(), dtype=torch.float16)
    stored = safetensors.torch.load_file(tmp_path / "half" / "net.safetensors")
    assert stored["linear.weight"].dtype == torch.float16
    loaded = load_model(tmp_path / "half", "net", Config, Network)
    assert loaded.linear.weight.dtype == torch.float32
    assert torch.equal(loaded.linear.weight, network.linear.weight.half().float())
    assert loaded.norm.num_batches_tracked == 70_000


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), None), (float("inf"), None), (1e5, torch.float16)])
def test_numbers_that_would_not_come_back_are_not_written(saved, tmp_path, value, dtype):
    _, network = saved
    with torch.no_grad():
        network.linear.bias[1] = value
    with pytest.raises(CheckpointError, match=r"^net: linear\.bias must be finite numbers in the range of"):
        save_model(tmp_path / "new", "net", network, Config(), dtype=dtype)
    assert not (tmp_path / "new").exists()


def test_tied_and_transposed_weights_are_stored_apart(tmp_path):
    class Tied(nn.Module):
        def __init__(self, config: Inner):
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight

    tied = Tied(Inner())
    with torch.no_grad():
        tied.a.weight.set_(torch.arange(9.0).reshape(3, 3).T)
    save_model(tmp_path, "tied", tied, Inner())
    loaded = load_model(tmp_path, "tied", Inner, Tied)
    assert torch.equal(loaded.a.weight, tied.a.weight) and loaded.b.weight is loaded.a.weight


def test_every_kind_of_field_comes_back(tmp_path):
    config = Config(7, (), (2, "b"), 1.0, "x", "v", False, {"sky": 5, "天": 1}, Inner(9))
    save_model(tmp_path, "net", Network(config), config)
    assert load_config(tmp_path / "net.json", Config) == config
    assert "天" in (tmp_path / "net.json").read_text(encoding="utf-8")


def test_hash_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(CheckpointError, match=r"^Cannot read .*b: No such file"):
        file_hash(tmp_path / "b")


# ------------------------------------------------------------------------------------------------ wrong files


def refused(folder):
    with pytest.raises(CheckpointError) as caught:
        load_model(folder, "net", Config, Network)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def set_field(folder, **fields):
    path = folder / "net.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"width": "4"}, "net.width is '4', which is not int"),
        ({"width": 4.0}, "net.width is 4.0, which is not int"),
        ({"width": True}, "net.width is True, which is not int"),
        ({"width": None}, "net.width is None"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"width": 1001}, "does not describe a Network: too wide"),
        ({"rate": float("nan")}, "net.rate is nan, which is not a finite number"),
        ({"rate": 10**400}, "net.rate is 1000"),
        ({"rate": False}, "net.rate is False"),
        ({"channels": [1, "2"]}, "net.channels[1] is '2'"),
        ({"channels": 3}, "net.channels is 3"),
        ({"pair": [1]}, "net.pair is [1]"),
        ({"name": 3}, "net.name is 3"),
        ({"kind": "x0"}, "net.kind is 'x0'"),
        ({"flag": 1}, "net.flag is 1, which is not bool"),
        ({"classes": {"colour": "8"}}, "net.classes.colour is '8'"),
        ({"classes": [8]}, "net.classes is [8]"),
        ({"inner": {"depth": 2, "size": 1}}, "net.inner has the unknown field size"),
        ({"inner": 3}, "net.inner is 3"),
        ({"wide": 4}, "net has the unknown field wide"),
    ],
)
def test_wrong_fields_are_named(saved, fields, complaint):
    set_field(saved[0], **fields)
    assert complaint in refused(saved[0])


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"x"', "[" * 100_000, "\xff\xfe", "{}"])
def test_json_that_is_no_config(saved, text):
    (saved[0] / "net.json").write_bytes(text.encode("latin-1"))
    assert "net.json" in refused(saved[0])


def test_missing_fields_are_named(saved):
    fields = json.loads((saved[0] / "net.json").read_text())
    del fields["rate"]
    (saved[0] / "net.json").write_text(json.dumps(fields))
    assert "net lacks the field rate." in refused(saved[0])


def test_missing_files_and_folders_in_their_place(saved):
    for name in ("net.json", "net.safetensors"):
        path = saved[0] / name
        data = path.read_bytes()
        path.unlink()
        assert refused(saved[0]) == f"Cannot read {path}: No such file or directory."
        path.mkdir()
        assert "Is a directory" in refused(saved[0])
        path.rmdir()
        path.write_bytes(data)
    load_model(saved[0], "net", Config, Network)


def write_tensors(folder, **changes):
    tensors = safetensors.torch.load_file(folder / "net.safetensors")
    tensors.update({key.replace("__", "."): value for key, value in changes.items()})
    safetensors.torch.save_file({k: v for k, v in tensors.items() if v is not None}, folder / "net.safetensors")


def test_weights_of_another_network_are_named(saved):
    write_tensors(saved[0], linear__weight=torch.zeros(2, 5), linear__bias=None, other=torch.zeros(1))
    sentence = refused(saved[0])
    assert "does not fit Network: linear.bias is missing; other is unknown; " in sentence
    assert "linear.weight has shape [2, 5] instead of [2, 4]." in sentence


def test_only_the_first_differences_are_listed(saved):
    safetensors.torch.save_file({f"x{i}": torch.zeros(1) for i in range(9)}, saved[0] / "net.safetensors")
    assert refused(saved[0]).endswith("; and 11 more.")


def test_integers_for_weights_are_refused(saved):
    write_tensors(saved[0], linear__bias=torch.zeros(2, dtype=torch.int32))
    assert "linear.bias holds torch.int32 instead of torch.float32" in refused(saved[0])


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e300])  # the last is finite only as float64
def test_weights_that_are_not_finite_are_refused(saved, value):
    write_tensors(saved[0], linear__bias=torch.tensor([0.0, value], dtype=torch.float64))
    assert "is damaged: linear.bias has numbers that are NaN or infinite" in refused(saved[0])


class Trap:
    """A pickle that makes a folder when it is opened carelessly."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_renamed_pickle_is_refused_and_not_run(saved, tmp_path):
    trap = tmp_path / "sprung"
    path = saved[0] / "net.safetensors"
    path.write_bytes(pickle.dumps(Trap(trap)))
    assert "is not a whole safetensors file" in refused(saved[0])
    torch.save({"linear.weight": Trap(trap)}, path)
    assert "is not a whole safetensors file" in refused(saved[0])
    with pytest.raises(CheckpointError, match="not a whole training checkpoint"):
        load_state(path)
    assert not trap.exists()


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**8 + 1, 10**6, 0])
def test_a_header_of_a_wrong_length_is_refused(saved, length):
    path = saved[0] / "net.safetensors"
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    assert "is not a whole safetensors file" in refused(saved[0])


def flipped(data, position, bit):
    position %= len(data)
    return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


damages = st.one_of(
    st.binary(max_size=200).map(lambda junk: lambda data: junk),
    st.integers(0).map(lambda n: lambda data: data[: n % len(data)]),
    st.tuples(st.integers(0), st.integers(0, 7)).map(lambda hit: lambda data: flipped(data, *hit)),
    st.binary(min_size=1, max_size=50).map(lambda junk: lambda data: data + junk),
)
quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(damage=damages, name=st.sampled_from(["net.safetensors", "net.json"]))
def test_damaged_files_give_finite_weights_or_a_sentence(saved, damage, name):
    folder, path = saved[0], saved[0] / name
    whole = path.read_bytes()
    try:
        path.write_bytes(damage(whole))
        with contextlib.suppress(CheckpointError):  # any other exception fails the test
            loaded = load_model(folder, "net", Config, Network)
            assert all(tensor.isfinite().all() for tensor in loaded.state_dict().values())
    finally:
        path.write_bytes(whole)


# ------------------------------------------------------------------------------------------------ training state

STATE = {"a": torch.arange(20.0), "step": 3, "text": "xyz", "nested": {"list": [1.5, None, {"b": torch.ones(2)}]}}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_state_comes_back(tmp_path):
    save_state(tmp_path / "s.pt", STATE)
    assert same(load_state(tmp_path / "s.pt"), STATE)
    assert names(tmp_path) == ["s.pt"]


@quick
@given(damage=damages)
def test_a_damaged_state_is_never_taken_for_another(tmp_path, damage):
    """Stronger than for safetensors: every part carries a checksum, and a silent flip would break exact resumption."""
    whole = io.BytesIO()
    torch.save(STATE, whole)
    (tmp_path / "s.pt").write_bytes(damage(whole.getvalue()))
    with contextlib.suppress(CheckpointError):
        assert same(load_state(tmp_path / "s.pt"), STATE)  # the flip hit padding


def test_state_that_is_missing_a_folder_or_no_dict(tmp_path):
    with pytest.raises(CheckpointError, match=r"^Cannot read .*: No such file or directory\.$"):
        load_state(tmp_path / "s.pt")
    with pytest.raises(CheckpointError, match="Is a directory"):
        load_state(tmp_path)
    torch.save([1, 2], tmp_path / "s.pt")
    with pytest.raises(CheckpointError, match="it holds a list"):
        load_state(tmp_path / "s.pt")
