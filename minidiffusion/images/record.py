r"""How a picture was made: enough to make it again, and to go on from it.

A record names an action, what the action was given, and the records of the pictures that it was applied to. So it is a
tree: the record of a picture that was upscaled after a region of it was repainted holds both steps, down to the first
prompt. Of a picture from elsewhere only the SHA-256 of its pixels is known; the file itself is needed to repeat what
was made of it. Records travel as JSON inside PNG files (`png.py`), so what is read here may come from anybody.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import PIL.Image
from jaxtyping import Float
from torch import Tensor

from minidiffusion.errors import UserError
from minidiffusion.version import __version__

from .pixels import to_pixels

MOST_ANCESTORS = 200


@dataclass(frozen=True)
class Record:
    r"""All that is needed to make a picture again."""

    action: str
    """The name of a file in `actions/`."""
    prompt: str
    """In the prompt language (`prompt/parser.py`)."""
    seed: int
    steps: int
    guidance: float
    sampler: str
    width: int
    """In pixels, as is the height."""
    height: int
    weights: str
    """SHA-256 of model.json, which holds that of every other file, or of the files of Stable Diffusion; "" if the
    weights were never on disk."""
    version: str
    settings: dict[str, Any] = field(default_factory=dict)
    """What else the action was given: names and plain values."""
    sources: tuple["Record | str", ...] = ()
    """What it was applied to: a record, or the SHA-256 of a picture from elsewhere."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, PLAIN[each.name]) or isinstance(value, bool):
                raise UserError(f"The {each.name} of a record is {value!r}, which it cannot be.")
        if sum(1 for _ in lineage(self)) > 1 + MOST_ANCESTORS:
            raise UserError(f"The record names more than {MOST_ANCESTORS} pictures before this one.")

    def to_dict(self) -> dict[str, Any]:
        r"""For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> "Record":
        r"""From JSON of unknown origin. Raises UserError unless every field is there and is what it should be."""
        names = {each.name for each in fields(cls)}
        if isinstance(values, dict) and "seeds" in values:
            raise UserError("This is the record of a sheet; give one of its pictures, such as NAME-1.png.")
        if not isinstance(values, dict) or not values.keys() <= names:
            raise UserError("This is no record of a picture.")
        given = dict(values)
        sources = given.pop("sources", ())
        if not isinstance(sources, list | tuple):
            raise UserError("The sources of a record are a list.")
        try:
            parents = tuple(each if isinstance(each, str) else cls.from_dict(each) for each in sources)
            return cls(**given, sources=parents)
        except (TypeError, RecursionError) as error:
            raise UserError(f"The record is not whole: {error}") from error


TEXT, NUMBER = ("action", "prompt", "sampler", "weights", "version"), ("seed", "steps", "width", "height")
PLAIN = dict.fromkeys(TEXT, str) | dict.fromkeys(NUMBER, int)
PLAIN |= {"guidance": (int, float), "settings": dict, "sources": tuple}


class Picture(NamedTuple):
    r"""A picture and how it was made; no record if it came from elsewhere."""

    image: PIL.Image.Image
    record: Record | None

    @property
    def source(self) -> Record | str:
        r"""What the record of a picture made from this one says of it."""
        return self.record or pixel_hash(self.image)


def with_records(
    x: Float[Tensor, "b 3 h w"],
    seeds: Sequence[int],
    sources: Sequence[Picture],
    settings: Mapping[str, Any],
    **shared: Any,
) -> list[Picture]:
    r"""Pictures in [-1, 1] with their records, one a seed.

    sources: what they were made from. settings: the action's own, of which those that are None are left out. shared:
    the other fields of `Record`, which do not depend on the seed.
    """
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    shared |= {"width": x.shape[3], "height": x.shape[2], "version": __version__}
    shared |= {"settings": {name: value for name, value in given.items() if value is not None}}
    shared |= {"sources": tuple(picture.source for picture in sources)}
    return [
        Picture(PIL.Image.fromarray(pixels), Record(seed=int(seed), **shared))
        for pixels, seed in zip(to_pixels(x), seeds, strict=True)
    ]


def lineage(record: Record) -> Iterator[Record]:
    r"""The record, and those of all that it was made from."""
    yield record
    for source in record.sources:
        if isinstance(source, Record):
            yield from lineage(source)


def pixel_hash(image: PIL.Image.Image) -> str:
    r"""The SHA-256 of a picture's size and RGB pixels, whatever file they came in."""
    return hashlib.sha256(repr(image.size).encode() + image.convert("RGB").tobytes()).hexdigest()
