r"""The history: which files of its folder are pictures, and which names are answered."""

import PIL.Image
import pytest

from minidiffusion.app.history import History
from minidiffusion.errors import UserError
from minidiffusion.images.png import write_pictures
from minidiffusion.images.record import Picture, Record


def drawn(prompt: str, n: int = 2) -> list[Picture]:
    record = (prompt, 7, 4, 2.5, "dpm++", 8, 8, "", "0")
    return [Picture(PIL.Image.new("RGB", (8, 8), (i, 0, 0)), Record("imagine", *record)) for i in range(n)]


def test_a_new_history_of_the_folder_shows_what_was_clicked_typed_and_uploaded_the_newest_first(tmp_path):
    history = History(tmp_path / "pictures")
    clicked = history.add(drawn("a <b>house</b>"))
    write_pictures(drawn("typed", 4), tmp_path / "pictures" / "a red house.png")  # as `minidiffusion imagine` does
    uploaded = history.add_image(PIL.Image.new("RGB", (8, 8), "blue"), "upload")
    history.add_image(PIL.Image.new("1", (8, 8), 1), "mask")  # which is not shown
    later = History(tmp_path / "pictures")
    names = [entry.name for entry in later.entries(most=9)]
    assert names == [uploaded, "a red house.png", clicked.name]
    assert [entry.name for entry in later.entries(most=2)] == names[:2]
    assert later.entry("a red house.png").pictures == tuple(f"a red house-{i}.png" for i in (1, 2, 3, 4))
    assert later.entry(clicked.name) == clicked and clicked.title == "a <b>house</b>"
    for name, red in zip(clicked.pictures, (0, 1), strict=True):
        picture = later.picture(name)
        assert picture.image.getpixel((0, 0)) == (red, 0, 0) and picture.record == drawn("a <b>house</b>")[0].record
    assert later.picture(uploaded).record is None


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "./a.png",
        "/etc/passwd",
        "a.png\0",
        "",
        ".",
        "link.png",
        "folder.png",
        "notes.json",
        "A.PNG",
        "ä" * 999,
    ],
)
def test_only_the_name_of_a_picture_in_the_folder_names_one(tmp_path, name):
    history = History(tmp_path / "pictures")
    image = PIL.Image.new("RGB", (8, 8))
    for path in ("secret.png", "pictures/a.png"):
        image.save(tmp_path / path)
    (tmp_path / "pictures" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "pictures" / "folder.png").mkdir()
    (tmp_path / "pictures" / "notes.json").write_text("{}")
    assert history.path("a.png").read_bytes()
    for find in (history.path, history.picture, history.entry):
        with pytest.raises(UserError, match=r"There is no (picture|entry) .* in the history\."):
            find(name)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 5000, "\xff"])
def test_other_files_in_the_folder_do_no_harm(tmp_path, text):
    history = History(tmp_path)
    entry = history.add(drawn("house"))
    for name in ("x.png", "x-1.png", "alone.png"):
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    assert history.entries(most=9) == [entry]


def test_uploads_of_version_0_1_are_still_shown(tmp_path):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "brought-0123456789ab.png")
    (entry,) = History(tmp_path).entries(most=9)
    assert entry.pictures == ("brought-0123456789ab.png",)
