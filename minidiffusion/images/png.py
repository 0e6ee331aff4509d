r"""Pictures on paper: a sheet to look at, and PNG files that remember how they were made.

Each PNG carries its record as JSON in a text chunk named "minidiffusion" (tEXt; PNG specification, section 11.3.3), so
that a picture which has lost its file name, its folder and its owner can still be made again.
"""

import hashlib
import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
from PIL.PngImagePlugin import PngInfo

from minidiffusion.checkpoint import make_folder, write_atomically
from minidiffusion.images.record import Picture

CHUNK = "minidiffusion"


def grid(images: Sequence[PIL.Image.Image], columns: int | None = None, enlarge: int | None = None) -> PIL.Image.Image:
    r"""The images, all of one size, in rows; each pixel becomes a crisp square, with a gap as wide as one in between.

    columns: by default all in one row up to three, and as square as possible from four on (four: 2 x 2). enlarge: by
    default 6, and less for pictures more than 64 wide, down to 1. Raises ValueError for no images, images of different
    sizes, and numbers below 1.
    """
    if len({image.size for image in images}) != 1:
        raise ValueError("A grid needs at least one image, and all of one size.")
    enlarge = max(1, min(6, 6 * 64 // images[0].width)) if enlarge is None else enlarge
    if enlarge < 1 or (columns is not None and columns < 1):
        raise ValueError(f"Columns and enlargement of a grid are at least 1, not {columns} and {enlarge}.")
    n = len(images)
    columns = columns or (n if n < 4 else math.ceil(math.sqrt(n)))
    width, height = (enlarge * side for side in images[0].size)
    gap = enlarge
    rows = math.ceil(n / columns)
    sheet = PIL.Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        large = image.resize((width, height), PIL.Image.Resampling.NEAREST)
        sheet.paste(large, (column * (width + gap), row * (height + gap)))
    return sheet


def to_png(image: PIL.Image.Image, record: dict[str, Any]) -> bytes:
    r"""A PNG file that carries the record. Its JSON is pure ASCII, as a tEXt chunk demands."""
    info = PngInfo()
    info.add_text(CHUNK, json.dumps(record))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def read_record(path: str | Path) -> dict[str, Any]:
    r"""How the picture in a PNG was made. Raises ValueError if the file is no PNG or carries no record."""
    try:
        with PIL.Image.open(path) as image:
            image.load()
            return json.loads(image.info[CHUNK])
    except FileNotFoundError:
        raise ValueError(f"There is no file {path}.") from None
    except Exception as error:  # a damaged file can raise nearly anything inside the decoder
        raise ValueError(f"{path} is not a PNG with a record of minidiffusion.") from error


def write_pictures(pictures: Sequence[Picture], sheet: Path) -> list[Path]:
    r"""Write the grid to `sheet` (NAME.png), the pictures beside it (NAME-1.png, ...) and the record (NAME.json).

    Returns the paths in that order. Each file is written whole or not at all, the grid last: where it is, all is.
    Raises CheckpointError if a file cannot be written.
    """
    records = [record.to_dict() for picture in pictures if (record := picture.record)]
    shared = {key: value for key, value in records[0].items() if key != "seed"}
    record = {**shared, "seeds": [record["seed"] for record in records]}
    files = {
        sheet.with_name(f"{sheet.stem}-{i + 1}.png"): to_png(picture.image, records[i])
        for i, picture in enumerate(pictures)
    }
    files[sheet.with_suffix(".json")] = to_json(record)
    files[sheet] = to_png(grid([picture.image for picture in pictures]), record)
    make_folder(sheet.parent)
    for path, data in files.items():
        write_atomically(path, data)
    return [sheet, *(path for path in files if path != sheet)]


def to_json(record: dict[str, Any]) -> bytes:
    r"""The record as a readable file: Chinese stays Chinese, and what UTF-8 cannot spell becomes a JSON escape."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def sheet_name(pictures: Sequence[Picture]) -> str:
    r"""NAME.png from the prompt's words and a hash of the records, so that only the same pictures share a name."""
    prompt = pictures[0].record.prompt if pictures[0].record else ""
    words = "-".join(re.findall(r"[^\W_]+", prompt.lower()))[:40].strip("-")
    records = json.dumps([record.to_dict() for picture in pictures if (record := picture.record)])
    return f"{words or 'picture'}-{hashlib.sha256(records.encode()).hexdigest()[:8]}.png"
