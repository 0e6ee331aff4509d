r"""Records: trees that survive JSON, and what is refused of those that come from anybody."""

import json
from dataclasses import replace

import PIL.Image
import pytest

from minidiffusion.images.record import MOST_ANCESTORS, Picture, Record, pixel_hash

FIRST = Record("imagine", "a red 房子", 3, 25, 4.0, "dpm++", 64, 48, "c0ffee", "0.1.0")
SECOND = replace(FIRST, action="vary", settings={"strength": 0.5}, sources=(FIRST,))
THIRD = replace(FIRST, action="blend", sources=(SECOND, "ab" * 32, FIRST))


@pytest.mark.parametrize("record", [FIRST, SECOND, THIRD])
def test_a_record_survives_json(record):
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "3"},
        {"seed": True},
        {"guidance": None},
        {"prompt": 5},
        {"settings": [1]},
        {"sources": {"a": 1}},
        {"sources": [7]},
        {"sources": [{"action": "vary"}]},
        {"colour": "red"},
    ],
)
def test_what_is_no_record_is_refused(change):
    with pytest.raises(ValueError, match="record"):
        Record.from_dict(THIRD.to_dict() | change)


def test_neither_is_one_of_which_something_is_missing():
    for name in ("action", "prompt", "seed", "weights"):
        with pytest.raises(ValueError, match="not whole"):
            Record.from_dict({key: value for key, value in FIRST.to_dict().items() if key != name})
    for nothing in (None, [], "imagine", 3):
        with pytest.raises(ValueError, match="no record"):
            Record.from_dict(nothing)


def test_there_is_an_end_to_ancestors():
    record = FIRST
    for _ in range(MOST_ANCESTORS):
        record = replace(record, sources=(record,))
    with pytest.raises(ValueError, match=f"more than {MOST_ANCESTORS} pictures"):
        replace(record, sources=(record,))
    wide = replace(FIRST, sources=(FIRST,) * MOST_ANCESTORS)
    with pytest.raises(ValueError, match="more than"):
        replace(wide, sources=(*wide.sources, FIRST))


def test_a_picture_from_elsewhere_is_known_by_its_pixels():
    red = PIL.Image.new("RGB", (4, 2), "red")
    assert Picture(red, FIRST).source is FIRST
    assert Picture(red, None).source == pixel_hash(red) == pixel_hash(red.convert("P")) and len(pixel_hash(red)) == 64
    assert len({pixel_hash(image) for image in (red, red.resize((2, 4)), PIL.Image.new("RGB", (4, 2), "blue"))}) == 3
