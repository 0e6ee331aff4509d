r"""A folder of pictures, searched by words: each picture is embedded once and then remembered.

The memory is the folder `.minidiffusion-index` inside: `index.json` names the weights and, for each picture, its size
in bytes and the time of its last change; `embeddings.safetensors` has a row for each. A picture whose size or time is
another, or any picture under other weights, is embedded anew; what was deleted is forgotten. A damaged memory, or one
that cannot be written, costs time and nothing else.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, make_folder, read_json, read_tensors, write_atomically
from minidiffusion.data.folder import find_pictures

from minidiffusion.pretrained.clip import Pretrained
from minidiffusion.images.read_picture import read_picture

FOLDER = ".minidiffusion-index"


def weights_hash(model: Pretrained) -> str:
    r"""The SHA-256 of all tensors: equal weights under any name share an index."""
    digest = hashlib.sha256(repr((model.clip.config, model.preprocess)).encode())
    for key, tensor in sorted(model.clip.state_dict().items()):
        digest.update(key.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def index(model: Pretrained, folder: Path, complain: Callable[[str], None]) -> tuple[list[str], Float[Tensor, "n d"]]:
    r"""The names of the pictures in the folder, and a unit vector for each.

    `complain` hears of each picture that cannot be read. Raises ValueError if there is no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    weights = weights_hash(model)
    known = remembered(folder, weights)
    rows, stamps = [], {}
    for name, file in find_pictures(folder).items():
        stat = file.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        if name in known and known[name][0] == stamp:
            row = known[name][1]
        else:
            try:
                row = model.clip.encode_image(model.preprocess(read_picture(file)))[0]
            except ValueError as error:
                complain(str(error))
                continue
        rows.append(row)
        stamps[name] = stamp
    if not rows:
        raise ValueError(f"{folder} holds no pictures that can be read.")
    embeddings = torch.stack(rows)
    try:
        remember(folder, weights, stamps, embeddings)
    except CheckpointError as error:
        complain(f"The index is not kept: {error}")
    return list(stamps), embeddings


def remembered(folder: Path, weights: str) -> dict[str, tuple[list[int], Tensor]]:
    r"""{name: (size and time, embedding)} as remembered; {} if nothing is, or for other weights."""
    try:
        kept = read_json(folder / FOLDER / "index.json")
        embeddings = read_tensors(folder / FOLDER / "embeddings.safetensors")["embeddings"]
        same = hashlib.sha256(embeddings.numpy().tobytes()).hexdigest() == kept["sha256"]  # two files, one state
        if kept["weights"] != weights or not same or len(kept["pictures"]) != len(embeddings):
            return {}
        return {name: (stamp, row) for (name, stamp), row in zip(kept["pictures"].items(), embeddings, strict=True)}
    except (CheckpointError, KeyError, TypeError, AttributeError):
        return {}


def remember(folder: Path, weights: str, stamps: dict[str, list[int]], embeddings: Tensor) -> None:
    r"""Write both files, each whole or not at all."""
    kept = {
        "weights": weights,
        "sha256": hashlib.sha256(embeddings.numpy().tobytes()).hexdigest(),
        "pictures": stamps,
    }
    target = make_folder(folder / FOLDER)
    write_atomically(target / "embeddings.safetensors", safetensors.torch.save({"embeddings": embeddings.clone()}))
    write_atomically(target / "index.json", json.dumps(kept).encode())
