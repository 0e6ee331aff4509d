r"""A folder of captioned pictures: read once, with every problem reported before training.

The captions are in one of three places; the first that exists is used:

1. `metadata.jsonl`, a line a picture: `{"file_name": "cats/tom.jpg", "text": "a grey cat"}`
2. `captions.csv` with the header `file_name,text`
3. `tom.txt` beside each `tom.jpg`

Pictures may be in subfolders. Whatever their size and mode, they become squares of `size` pixels in RGB.
"""

import csv
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from minidiffusion.errors import UserError
from minidiffusion.images.pixels import from_pixels

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class PictureFolder:
    r"""Captioned pictures from `path`, decoded once and kept as uint8 (12 kB a picture of 64x64).

    Raises UserError, one sentence with up to five names, for: no such folder, no pictures, pictures that cannot be
    read, pictures without a caption, captions without a picture, a table of captions that cannot be read.
    """

    def __init__(self, path: str | os.PathLike, size: int = 64):
        path = Path(path)
        if size < 1:
            raise UserError(f"size must be at least 1, got {size}.")
        if not path.is_dir():
            raise UserError(f"{path} is not a folder.")
        files = find_pictures(path)
        if not files:
            raise UserError(f"{path} holds no pictures (looked for files ending in {', '.join(ENDINGS)}).")
        captions = read_captions(path, files)
        refuse(f"{path}: captions for what is not a picture inside the folder", captions.keys() - files.keys())
        refuse(f"{path}: pictures without a caption", (name for name in files if not captions.get(name)))

        self.names = tuple(files)
        self._captions = [captions[name] for name in files]
        squares, unreadable = [], []
        with warnings.catch_warnings():
            # Pillow only warns of a picture of 90 to 180 million pixels, which is hardly meant for training.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for name, file in tqdm(files.items(), desc="reading pictures", unit="picture", disable=None, leave=False):
                try:
                    squares.append(read_square(file, size))
                except Exception as error:  # a damaged file can raise nearly anything inside a decoder
                    unreadable.append(f"{name} ({str(error) or type(error).__name__:.120})")
        refuse(f"{path}: pictures that cannot be read", unreadable)
        self._pixels = np.stack(squares)

    def __len__(self) -> int:
        return len(self.names)

    def pictures(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
        """Float32 in [-1, 1]."""
        return from_pixels(self._pixels[indices.numpy()]).contiguous()

    def captions(self, indices: Int[Tensor, " b"], generator: torch.Generator) -> list[str]:
        """One caption a picture, always the same; `generator` is part of the protocol `CaptionedPictures`."""
        return [self._captions[i] for i in indices.tolist()]


def find_pictures(folder: Path) -> dict[str, Path]:
    """{name relative to `folder`, with forward slashes: file}, sorted, so that indices do not change."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
    named = {file.relative_to(folder).as_posix(): file for file in files if not file.name.startswith(".")}
    return dict(sorted(named.items()))


def refuse(what: str, names: Iterable[str]) -> None:
    """UserError with up to five of `names`, if there are any."""
    names = sorted(names)
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise UserError(f"{what}: {', '.join(names[:5])}{more}.")


# ---------------------------------------------------------------------------------------------------- captions


def read_captions(folder: Path, files: dict[str, Path]) -> dict[str, str]:
    """{name: caption}. A name is only compared with `files`, never opened, so `../../secret` reads nothing."""
    try:
        if (folder / "metadata.jsonl").exists():
            return rows_to_captions(folder / "metadata.jsonl", read_jsonl(folder / "metadata.jsonl"))
        if (folder / "captions.csv").exists():
            return rows_to_captions(folder / "captions.csv", read_csv(folder / "captions.csv"))
        return read_texts(folder, files)
    except OSError as error:
        raise UserError(f"Cannot read the captions: {error.filename}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The captions in {folder} are not UTF-8 text ({error}).") from error


def read_jsonl(path: Path) -> list[Any]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}, line {number} is not JSON ({error}).") from error
    return rows


def read_csv(path: Path) -> list[dict]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # -sig: Excel begins its CSV with a byte order mark
        reader = csv.DictReader(file, strict=True)
        try:
            header = set(reader.fieldnames or ())
            rows = list(reader)
        except csv.Error as error:
            raise UserError(f"{path} is not CSV after line {reader.line_num} ({error}).") from error
    if not {"file_name", "text"} <= header:
        raise UserError(f"{path} must begin with the header file_name,text.")
    return rows


def rows_to_captions(path: Path, rows: list[Any]) -> dict[str, str]:
    captions = {}
    for number, row in enumerate(rows, start=1):
        name, text = (row.get(key) if isinstance(row, dict) else None for key in ("file_name", "text"))
        if not (isinstance(name, str) and isinstance(text, str)):
            raise UserError(f"{path}, entry {number} must have a file_name and a text, both strings.")
        name = PurePosixPath(name).as_posix()  # "./tom.jpg" is tom.jpg
        if name in captions:
            raise UserError(f"{path} has more than one caption for {name}.")
        captions[name] = text.strip()
    return captions


def read_texts(folder: Path, files: dict[str, Path]) -> dict[str, str]:
    """{name of the picture: the text of the .txt of the same stem}; a .txt without a picture keeps its own name."""
    captions = {}
    for name, file in files.items():
        text = file.with_suffix(".txt")
        if text.exists():
            captions[name] = " ".join(text.read_text(encoding="utf-8-sig").split())
    described = {file.with_suffix(".txt") for file in files.values()}
    lonely = [text for text in folder.rglob("*.txt") if text not in described and not text.name.startswith(".")]
    return captions | {text.relative_to(folder).as_posix(): "" for text in lonely}


# ---------------------------------------------------------------------------------------------------- pictures


def read_square(file: Path, size: int) -> np.ndarray:
    """The middle square of a picture, `size` x `size` x 3, uint8."""
    with Image.open(file) as opened:
        image = to_rgb(ImageOps.exif_transpose(opened))  # phones store the orientation as EXIF data
    return np.asarray(ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS))


def to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as RGB: 16-bit grey is scaled down, transparent pixels become white."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):  # 16-bit grey; convert("RGB") would clip it at 255, nearly all white
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
