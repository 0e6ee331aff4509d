r"""`minidiffusion again`: a picture, made again from the record in its file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from .options import PictureFile, Weights, check_out, parse


@dataclass(frozen=True, kw_only=True)
class Again(Weights):
    r"""Make a picture again, from the record in its file. --weights are those that made it."""

    picture: PictureFile
    """A single picture that was made here (not a sheet)."""
    source: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A picture from elsewhere that it was made from; once for each."""
    out: Path = Path("again.png")
    """Where to write it."""


def again(arguments: Sequence[str]) -> None:
    options = parse(Again, "again", arguments)
    check_out(options.out, must_be_png=False)
    from minidiffusion.actions.registry import again, find
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.images.png import read_record, to_png
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.images.record import Record, lineage

    record = Record.from_dict(read_record(options.picture))
    brought = [read_picture(path) for path in options.source]
    by_tokens = {find(each.action).by_tokens for each in lineage(record)}  # one of the two pipelines made it, or both
    models = [options.load(each) for each in by_tokens]
    picture = again(models[0], record, brought, models[-1])
    write_atomically(options.out, to_png(picture.image, picture.record))
    print(options.out)
