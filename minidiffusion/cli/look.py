r"""`minidiffusion look`: cross-attention maps, which say where the model looked for each word of the prompt."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .options import PictureFile, Weights, check_out, parse


@dataclass(frozen=True, kw_only=True)
class Look(Weights):
    r"""Cross-attention maps: the picture, and beside it, for each word of its prompt, the same in fog that is gone
    where the network looked at the word. --weights are those that made it."""

    picture: PictureFile
    """A single picture that imagine made (not a sheet). It is drawn once more."""
    out: Path = Path("look.png")
    """Where to write the sheet."""


def look(arguments: Sequence[str]) -> None:
    options = parse(Look, "look", arguments)
    check_out(options.out)
    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.errors import quoted
    from minidiffusion.images.png import read_record
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.images.record import Picture, Record
    from minidiffusion.pipelines.cross_attention_maps import cross_attention_maps
    from minidiffusion.viz.word_maps import word_maps

    record = Record.from_dict(read_record(options.picture))
    picture = Picture(read_picture(options.picture), record)
    maps = cross_attention_maps(options.load(), picture)
    buffer = io.BytesIO()
    word_maps(picture.image, maps).savefig(buffer, format="png", dpi=150)
    write_atomically(options.out, buffer.getvalue())
    for i, (word, weights) in enumerate(maps, start=1):
        print(f"{i:4}  {weights.max():.3f}  {quoted(word)[1:-1]}")
    print(options.out)
