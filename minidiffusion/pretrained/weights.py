r"""Weights in a folder: which files belong together, and the index that names them, model.json."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from minidiffusion.checkpoint import CheckpointError, check_hashes, file_hash, load_config, load_model, write_atomically
from minidiffusion.clip.encoder import CLIP, CLIPConfig, TextEncoder
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.prediction import PredictionType
from minidiffusion.diffusion.schedule import ScheduleName
from minidiffusion.errors import UserError
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.networks.upscaler import Upscaler, UpscalerConfig

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

    def __post_init__(self) -> None:
        if self.T < 1:
            raise UserError(f"T must be at least 1, got {self.T}.")


class Parts(NamedTuple):
    r"""What a `TextToImage` is made of, under the names of its arguments."""

    tokenizer: Tokenizer
    clip: CLIP | TextEncoder
    unet: UNet
    vae: AutoencoderKL
    schedule: ScheduleName
    T: int
    prediction: PredictionType
    weights_hash: str
    size: int | None = None
    guidance: float = 2.5
    upscaler: Upscaler | None = None


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


def load_parts(folder: Path) -> Parts:
    r"""Our own weights. Every file is compared with its hash in model.json; raises CheckpointError if one differs."""
    index = load_config(folder / INDEX, Index)
    upscaler = None
    if (folder / "upscaler.safetensors").exists():
        check_hashes(folder / INDEX, index.sha256, ["upscaler.json", "upscaler.safetensors"])
        upscaler = load_model(folder, "upscaler", UpscalerConfig, Upscaler)
    check_hashes(folder / INDEX, index.sha256, FILES)
    return Parts(
        Tokenizer.load(folder / "tokenizer.json"),
        load_model(folder, "clip", CLIPConfig, CLIP),
        load_model(folder, "unet", UNetConfig, UNet),
        load_model(folder, "vae", VAEConfig, AutoencoderKL),
        index.schedule,
        index.T,
        index.prediction,
        file_hash(folder / INDEX),
        upscaler=upscaler,
    )


def write_index(folder: str | Path, schedule: ScheduleName, T: int, prediction: PredictionType) -> None:
    r"""Write model.json for the trained networks in a folder: the last step, which makes them loadable.

    Of `OTHERS`, those that are there are listed as well. Raises CheckpointError if another file is missing.
    """
    others = [path.name for name in OTHERS for path in sorted(Path(folder).glob(f"{name}.*"))]
    sha256 = {name: file_hash(Path(folder, name)) for name in [*FILES, *others]}
    context_length = load_config(Path(folder, "clip.json"), CLIPConfig).context_length
    index = Index(schedule, T, prediction, context_length, sha256)
    write_atomically(Path(folder, INDEX), (json.dumps(asdict(index), indent=2) + "\n").encode())


def check_fit(*sizes: tuple[str, int, int]) -> None:
    r"""Raises UserError unless the two numbers of each row agree; a row is (what they count, the one, the other)."""
    for what, a, b in sizes:
        if a != b:
            raise UserError(f"The networks do not fit each other ({what}: {a} and {b}).")


def files_hash(files: Sequence[Path]) -> str:
    r"""One SHA-256 for several files: that of their hashes."""
    return hashlib.sha256("".join(file_hash(path) for path in files).encode()).hexdigest()
