r"""PNG files that carry the record of how they were made.

The record is JSON in a text chunk named "minidiffusion" (tEXt; PNG specification, section 11.3.3), so a picture that
was renamed, moved or sent to somebody else can still be made again. Files of four pictures:

    NAME.png       all of them on one sheet, with what their records share
    NAME-1.png ... NAME-4.png   each alone, with its own record
    NAME.json      the record of the sheet, readable
"""

import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
from PIL.PngImagePlugin import PngInfo

from minidiffusion.checkpoint import make_folder, write_atomically
from minidiffusion.errors import UserError

from .grid import grid
from .read_picture import read_picture
from .record import Picture, Record

CHUNK = "minidiffusion"


def to_png(image: PIL.Image.Image, record: Record | dict[str, Any] | None = None) -> bytes:
    r"""A PNG file that carries the record. Its JSON is pure ASCII, as a tEXt chunk demands."""
    info = PngInfo()
    info.add_text(CHUNK, json.dumps(record.to_dict() if isinstance(record, Record) else record or {}))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def read_record(path: str | Path) -> dict[str, Any]:
    r"""How the picture in a PNG was made. Raises UserError if the file is no PNG or carries no record."""
    try:
        with PIL.Image.open(path) as image:
            image.load()
            return json.loads(image.info[CHUNK])
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except Exception as error:  # a damaged file can raise nearly anything inside the decoder
        raise UserError(f"{path} is not a PNG with a record of minidiffusion.") from error


def open_picture(path: str | Path) -> Picture:
    r"""The picture of a file or URL, with its record if it carries one that is whole.

    Raises UserError for what cannot be read as a picture.
    """
    image = read_picture(path)
    try:
        return Picture(image, Record.from_dict(read_record(path)))
    except UserError:
        return Picture(image, None)


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
    r"""The record as a readable file: Chinese stays Chinese, and what UTF-8 cannot encode becomes a JSON escape."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def sheet_name(pictures: Sequence[Picture]) -> str:
    r"""NAME.png from the prompt's words and a hash of the records, so that only the same pictures share a name."""
    prompt = pictures[0].record.prompt if pictures[0].record else ""
    words = "-".join(re.findall(r"[^\W_]+", prompt.lower()))[:40].strip("-")
    records = json.dumps([record.to_dict() for picture in pictures if (record := picture.record)])
    return f"{words or 'picture'}-{hashlib.sha256(records.encode()).hexdigest()[:8]}.png"
