r"""Sheets, PNG files that carry their record, and what happens when they cannot be written."""

import json
import os
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from minidiffusion.checkpoint import CheckpointError
from minidiffusion.images.grid import grid
from minidiffusion.images.png import read_record, sheet_name, to_json, to_png, write_pictures
from minidiffusion.images.record import Picture, Record

RECORD = Record("imagine", "a red 房子 🙂 --no snow", 3, 25, 4.0, "dpm++", 4, 4, "c0ffee", "0.1.0")


def noise(seed: int, size: tuple[int, int] = (4, 4)) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8))


def pictures(n: int) -> list[Picture]:
    return [Picture(noise(i), replace(RECORD, seed=3 + i)) for i in range(n)]


SHAPES = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 2), 5: (2, 3), 9: (3, 3), 16: (4, 4)}


@pytest.mark.parametrize(
    ("n", "columns", "shape"),
    [*((n, None, shape) for n, shape in SHAPES.items()), (6, 2, (3, 2)), (6, 1, (6, 1)), (2, 5, (1, 5))],
)
def test_pictures_stand_in_rows_with_a_gap_of_one_pixel_in_between(n, columns, shape):
    sheet = np.asarray(grid([noise(i) for i in range(n)], columns, enlarge=3))
    rows, columns = shape
    assert sheet.shape == (rows * 5 * 3 - 3, columns * 5 * 3 - 3, 3)
    for i in range(rows * columns):
        y, x = (15 * k for k in divmod(i, columns))
        expected = np.asarray(noise(i)).repeat(3, 0).repeat(3, 1) if i < n else 255  # crisp; what is left over is white
        assert (sheet[y : y + 12, x : x + 12] == expected).all()
    gaps = np.ones(sheet.shape[:2], bool)
    for y in range(0, sheet.shape[0], 15):
        for x in range(0, sheet.shape[1], 15):
            gaps[y : y + 12, x : x + 12] = False
    assert (sheet[gaps] == 255).all()


@pytest.mark.parametrize(("side", "enlarged"), [(16, 6), (64, 6), (128, 3), (512, 1)])
def test_small_pictures_are_enlarged_and_large_ones_are_not(side, enlarged):
    assert grid([PIL.Image.new("RGB", (side, 64))]).size == (side * enlarged, 64 * enlarged)


def test_a_grid_of_nothing_or_of_different_sizes_is_refused():
    for images in ([], [noise(0), noise(1, (4, 5))]):
        with pytest.raises(ValueError, match="at least one image, and all of one size"):
            grid(images)
    for numbers in ({"columns": 0}, {"enlarge": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            grid([noise(0)], **numbers)


def test_a_png_carries_its_record(tmp_path):
    record = {"prompt": "红色 🙂 \udcff \x00", "seeds": [1, 2]}
    (tmp_path / "a.png").write_bytes(to_png(noise(0), record))
    assert read_record(tmp_path / "a.png") == record
    with PIL.Image.open(tmp_path / "a.png") as image:
        assert json.loads(image.text["minidiffusion"]) == record
        assert image.tobytes() == noise(0).tobytes()
    assert json.loads(to_json(record)) == record and "红色 🙂" in to_json(record).decode()


def test_a_record_is_asked_of_files_that_have_none(tmp_path):
    noise(0).save(tmp_path / "plain.png")
    (tmp_path / "cut.png").write_bytes(to_png(noise(0, (64, 64)), {"seed": 0})[:2000])
    (tmp_path / "text.png").write_text("no picture")
    for name in ("plain.png", "cut.png", "text.png", "."):
        with pytest.raises(ValueError, match="is not a PNG with a record"):
            read_record(tmp_path / name)
    with pytest.raises(ValueError, match="There is no file"):
        read_record(tmp_path / "missing.png")


def test_grid_pictures_and_record_are_written_together(tmp_path):
    made = pictures(4)
    paths = write_pictures(made, tmp_path / "new" / "sheet.v1.png")
    names = ["sheet.v1.png", *(f"sheet.v1-{i}.png" for i in (1, 2, 3, 4)), "sheet.v1.json"]
    assert [path.name for path in paths] == names
    assert sorted(os.listdir(tmp_path / "new")) == sorted(names)

    shared = json.loads(paths[-1].read_bytes())
    assert shared == read_record(paths[0])
    assert shared["seeds"] == [3, 4, 5, 6] and shared["prompt"] == RECORD.prompt and "seed" not in shared
    for path, picture in zip(paths[1:5], made, strict=True):
        assert Record.from_dict(read_record(path)) == picture.record
        assert PIL.Image.open(path).tobytes() == picture.image.tobytes()
    assert PIL.Image.open(paths[0]).tobytes() == grid([picture.image for picture in made]).tobytes()


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("mine")
    for sheet in (tmp_path / "file" / "sheet.png", tmp_path / ("x" * 300) / "sheet.png"):
        with pytest.raises(CheckpointError, match="Cannot make the folder"):
            write_pictures(pictures(1), sheet)
    with pytest.raises(CheckpointError, match="Cannot write"):
        write_pictures(pictures(1), tmp_path / f"{'x' * 300}.png")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_names_come_from_the_prompt_and_tell_different_pictures_apart():
    name = sheet_name(pictures(4))
    assert name.startswith("a-red-房子-") and name.endswith(".png") and name == sheet_name(pictures(4))
    assert name != sheet_name(pictures(3))
    for prompt in (
        "",
        "../../etc/passwd",
        "C:\\con?",
        "🙂" * 10_000,
        "long " * 2000,
        "\x00\n\x1b[31m",
        "\udcff",
        "红" * 99,
    ):
        (picture,) = pictures(1)
        name = sheet_name([picture._replace(record=replace(RECORD, prompt=prompt))])
        assert len(name.encode()) < 200 and not set(name) & set('/\\:*?"<>|\0\n\x1b. ') - {"."} and name.count(".") == 1
