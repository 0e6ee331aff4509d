r"""A search index of a folder of pictures: each picture is embedded once, and its embedding kept on disk.

The index is the folder `.minidiffusion-index` inside: `index.json` names the weights and, for each picture, its size in
bytes and the time of its last change; `embeddings.safetensors` has a row for each. A picture whose size or time
changed is embedded again, as are all pictures under other weights; deleted ones are dropped. An index that is damaged,
or cannot be written, costs time and nothing else.
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
from minidiffusion.errors import UserError
from minidiffusion.images.read_picture import read_picture

from .encoder import CLIP
from .preprocess import Preprocess

FOLDER = ".minidiffusion-index"


def weights_hash(clip: CLIP, preprocess: Preprocess) -> str:
    r"""The SHA-256 of all tensors, config and preprocessing: equal weights under any name share an index."""
    digest = hashlib.sha256(repr((clip.config, preprocess)).encode())
    for key, tensor in sorted(clip.state_dict().items()):
        digest.update(key.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def index(
    clip: CLIP, preprocess: Preprocess, folder: Path, warn: Callable[[str], None]
) -> tuple[list[str], Float[Tensor, "n d"]]:
    r"""The names of the pictures in the folder, and a unit vector for each.

    `warn` is called with one sentence for each picture that cannot be read. Raises UserError if there is no folder,
    or no picture in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.")
    weights = weights_hash(clip, preprocess)
    known = load_index(folder, weights)
    rows, stamps = [], {}
    for name, file in find_pictures(folder).items():
        stat = file.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        if name in known and known[name][0] == stamp:
            row = known[name][1]
        else:
            try:
                row = clip.encode_image(preprocess(read_picture(file)))[0]
            except UserError as error:
                warn(str(error))
                continue
        rows.append(row)
        stamps[name] = stamp
    if not rows:
        raise UserError(f"{folder} holds no pictures that can be read.")
    embeddings = torch.stack(rows)
    try:
        save_index(folder, weights, stamps, embeddings)
    except CheckpointError as error:
        warn(f"The index is not saved: {error}")
    return list(stamps), embeddings


def load_index(folder: Path, weights: str) -> dict[str, tuple[list[int], Tensor]]:
    r"""{name: (size and time, embedding)}; {} if there is no whole index, or one of other weights."""
    try:
        kept = read_json(folder / FOLDER / "index.json")
        embeddings = read_tensors(folder / FOLDER / "embeddings.safetensors")["embeddings"]
        same = hashlib.sha256(embeddings.numpy().tobytes()).hexdigest() == kept["sha256"]  # both files are of one run
        if kept["weights"] != weights or not same or len(kept["pictures"]) != len(embeddings):
            return {}
        return {name: (stamp, row) for (name, stamp), row in zip(kept["pictures"].items(), embeddings, strict=True)}
    except (CheckpointError, KeyError, TypeError, AttributeError):
        return {}


def save_index(folder: Path, weights: str, stamps: dict[str, list[int]], embeddings: Tensor) -> None:
    r"""Write both files, each whole or not at all."""
    kept = {
        "weights": weights,
        "sha256": hashlib.sha256(embeddings.numpy().tobytes()).hexdigest(),
        "pictures": stamps,
    }
    target = make_folder(folder / FOLDER)
    write_atomically(target / "embeddings.safetensors", safetensors.torch.save({"embeddings": embeddings.clone()}))
    write_atomically(target / "index.json", json.dumps(kept).encode())
