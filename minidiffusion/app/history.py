r"""The history: a folder of pictures, and nothing else is saved.

The files are those of the command line: a grid NAME.png, its pictures NAME-1.png, NAME-2.png, ... and its record
NAME.json. So the page shows pictures that a command has written, a command can be given pictures that the page has
written, and both are there after a restart. A picture that somebody uploaded is upload-HASH.png, without others.

Names come from browsers. A name is looked up among the files that are there before it becomes part of a path.
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
from minidiffusion.errors import UserError
from minidiffusion.images.png import open_picture, sheet_name, to_png, write_pictures
from minidiffusion.images.record import Picture, pixel_hash

UPLOADED = re.compile(r"(upload|brought)-[0-9a-f]{12}\.png")  # brought: the name up to version 0.1


class Entry(NamedTuple):
    r"""Pictures that were made together, by file name. name: the grid of them all. title: their prompt."""

    name: str
    pictures: tuple[str, ...]
    title: str


class History:
    r"""A folder, which is created if there is none. Raises CheckpointError if it cannot be created."""

    def __init__(self, folder: str | Path):
        self.folder = make_folder(folder)

    def add(self, pictures: list[Picture]) -> Entry:
        r"""Write pictures that were made together."""
        grid, *others = write_pictures(pictures, self.folder / sheet_name(pictures))
        names = tuple(path.name for path in others if path.suffix == ".png")
        return Entry(grid.name, names, pictures[0].record.prompt if pictures[0].record else "")

    def add_image(self, image: PIL.Image.Image, kind: str) -> str:
        r"""Write an image without a record, and return its name. kind: "upload" or "mask"; the latter is not shown."""
        name = f"{kind}-{pixel_hash(image)[:12]}.png"
        write_atomically(self.folder / name, to_png(image, {}))
        return name

    def entries(self, most: int) -> list[Entry]:
        r"""The latest entries, the newest first."""
        files = self.files()
        newest = sorted(files, key=lambda name: (-files[name], name))
        return list(islice(filter(None, (self.find(name, files) for name in newest)), most))

    def entry(self, name: str) -> Entry:
        r"""The entry of that name. Raises UserError if there is none."""
        entry = self.find(name, self.files())
        if entry is None:
            raise UserError(f"There is no entry {name!r:.80} in the history.")
        return entry

    def picture(self, name: str) -> Picture:
        r"""The picture of that name, with its record if it has one. Raises UserError if there is none."""
        return open_picture(self.path(name))

    def path(self, name: str) -> Path:
        r"""Where the picture of that name is. Raises UserError if there is none."""
        if name not in self.files():
            raise UserError(f"There is no picture {name!r:.80} in the history.")
        return self.folder / name

    def files(self) -> dict[str, int]:
        r"""The PNG files, and when they were written. Links are left out: they may lead out of the folder."""
        with os.scandir(self.folder) as entries:
            pictures = [each for each in entries if each.name.endswith(".png") and each.is_file(follow_symlinks=False)]
            return {each.name: each.stat().st_mtime_ns for each in pictures}

    def find(self, name: str, files: Container[str]) -> Entry | None:
        r"""The entry whose grid is the file of that name, if it is one."""
        if name not in files:
            return None
        if UPLOADED.fullmatch(name):
            return Entry(name, (name,), "uploaded picture")
        pictures = tuple(takewhile(files.__contains__, (f"{name.removesuffix('.png')}-{i}.png" for i in count(1))))
        try:
            record = json.loads((self.folder / name).with_suffix(".json").read_bytes())
            return Entry(name, pictures, str(record["prompt"])) if pictures else None
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None  # some other PNG file
