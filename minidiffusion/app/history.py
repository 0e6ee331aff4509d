r"""The pictures of the studio are files in one folder, and nothing else is remembered.

They are the files that the command line writes: a sheet NAME.png, its pictures NAME-1.png, NAME-2.png, ... and its
record NAME.json. So a picture that was typed shows on the page, a picture that was clicked can be given to a command,
and after a restart all is as it was. A picture that somebody brought is brought-HASH.png, alone.

Names come from browsers. A name is looked for among the files that are there and never becomes a path before.
"""

import json
import os
import re
from collections.abc import Container
from itertools import count, islice, takewhile
from pathlib import Path
from typing import NamedTuple

import PIL.Image

from minidiffusion.checkpoint import make_folder, write_atomically
from minidiffusion.images.read_picture import read_picture
from minidiffusion.images.png import read_record, sheet_name, to_png, write_pictures
from minidiffusion.images.record import Picture, Record, pixel_hash

BROUGHT = re.compile(r"brought-[0-9a-f]{12}\.png")


class Sheet(NamedTuple):
    r"""Names of files: the sheet, and the single pictures on it. title: what they were made of."""

    name: str
    pictures: tuple[str, ...]
    title: str


class History:
    r"""A folder, which is made if it is not there. Raises CheckpointError if it cannot be."""

    def __init__(self, folder: str | Path):
        self.folder = make_folder(folder)

    def save(self, pictures: list[Picture]) -> Sheet:
        r"""Pictures that were drawn together."""
        sheet, *others = write_pictures(pictures, self.folder / sheet_name(pictures))
        names = tuple(path.name for path in others if path.suffix == ".png")
        return Sheet(sheet.name, names, pictures[0].record.prompt if pictures[0].record else "")

    def keep(self, image: PIL.Image.Image, what: str) -> str:
        r"""The name of a picture that was not drawn: "brought" by somebody, or the "mask" of a region."""
        name = f"{what}-{pixel_hash(image)[:12]}.png"
        write_atomically(self.folder / name, to_png(image, {}))
        return name

    def sheets(self, most: int) -> list[Sheet]:
        r"""The latest sheets, the newest first."""
        files = self.files()
        newest = sorted(files, key=lambda name: (-files[name], name))
        return list(islice(filter(None, (self.on_sheet(name, files) for name in newest)), most))

    def sheet(self, name: str) -> Sheet:
        r"""The sheet of that name. Raises ValueError if there is none."""
        sheet = self.on_sheet(name, self.files())
        if sheet is None:
            raise ValueError(f"There is no sheet {name!r:.80} in the studio.")
        return sheet

    def path(self, name: str) -> Path:
        r"""Where the picture of that name is. Raises ValueError if there is none."""
        if name not in self.files():
            raise ValueError(f"There is no picture {name!r:.80} in the studio.")
        return self.folder / name

    def files(self) -> dict[str, int]:
        r"""The pictures that are there, and when they were written. A link is none: it may lead anywhere."""
        with os.scandir(self.folder) as entries:
            pictures = [each for each in entries if each.name.endswith(".png") and each.is_file(follow_symlinks=False)]
            return {each.name: each.stat().st_mtime_ns for each in pictures}

    def on_sheet(self, name: str, files: Container[str]) -> Sheet | None:
        r"""The sheet, if a file of that name is one."""
        if name not in files:
            return None
        if BROUGHT.fullmatch(name):
            return Sheet(name, (name,), "a picture from elsewhere")
        pictures = tuple(takewhile(files.__contains__, (f"{name.removesuffix('.png')}-{i}.png" for i in count(1))))
        try:
            record = json.loads((self.folder / name).with_suffix(".json").read_bytes())
            return Sheet(name, pictures, str(record["prompt"])) if pictures else None
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None  # something else that happens to lie there

    def picture(self, name: str) -> Picture:
        r"""The picture of that name, with its record if it has one. Raises ValueError if there is none."""
        path = self.path(name)
        image = read_picture(path)
        try:
            return Picture(image, Record.from_dict(read_record(path)))
        except ValueError:
            return Picture(image, None)
