r"""Weights in a folder: which files belong together, and the index that names them, model.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from minidiffusion.checkpoint import CheckpointError, file_hash, load_config, write_atomically
from minidiffusion.clip.encoder import CLIPConfig
from minidiffusion.diffusion.prediction import PredictionType
from minidiffusion.diffusion.schedule import ScheduleName

SHIPPED = Path(__file__).parent.parent / "weights"
INDEX = "model.json"
NETWORKS = ("clip", "unet", "vae")
OTHERS = ("judge", "upscaler", "codebook", "tokens")
FILES = ("tokenizer.json", *(f"{name}.{ending}" for name in NETWORKS for ending in ("json", "safetensors")))


@dataclass(frozen=True)
class Index:
    r"""model.json: which noise the U-Net was trained against, and the files that belong together, with their hashes."""

    schedule: ScheduleName
    T: int
    prediction: PredictionType
    context_length: int
    sha256: dict[str, str]


def find_weights(weights: str | Path) -> Path:
    r"""The folder of the weights that come with minidiffusion under this name, or else the folder or file itself.

    Write "./NAME" for a folder that has the name of shipped weights. Raises CheckpointError if there is neither.
    """
    shipped = [path.parent.name for path in sorted(SHIPPED.glob(f"*/{INDEX}"))]
    folder = SHIPPED / weights if weights in shipped else Path(weights)
    if not folder.exists():
        names = ", ".join(shipped) or "none"
        raise CheckpointError(
            f"There are no weights {str(weights)!r}: no such folder or file, and shipped are: {names}."
        )
    return folder


def write_index(folder: str | Path, schedule: ScheduleName, T: int, prediction: PredictionType) -> None:
    r"""Write model.json for the trained networks in a folder: the last step, which makes them loadable.

    A judge, an upscaler and the other road are listed as well if they are there. Raises CheckpointError if another file
    is missing.
    """
    others = [path.name for name in OTHERS for path in sorted(Path(folder).glob(f"{name}.*"))]
    sha256 = {name: file_hash(Path(folder, name)) for name in [*FILES, *others]}
    context_length = load_config(Path(folder, "clip.json"), CLIPConfig).context_length
    index = Index(schedule, T, prediction, context_length, sha256)
    write_atomically(Path(folder, INDEX), (json.dumps(asdict(index), indent=2) + "\n").encode())
