import json
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from minidiffusion.data.folder import PictureFolder, to_rgb


def paint(path, colour=(255, 0, 0), size=(8, 8), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


def jsonl(folder, *rows):
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def table(folder, text, encoding="utf-8"):
    (folder / "captions.csv").write_text(text, encoding=encoding)


def only(path, **options):
    """The single picture of a folder, as uint8 'h w 3'."""
    pictures = PictureFolder(path, **options).pictures(torch.tensor([0]))
    return ((pictures[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def refused(folder):
    with pytest.raises(ValueError) as caught:
        PictureFolder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------ where captions stand


def test_metadata_jsonl(tmp_path):
    paint(tmp_path / "b.png", (255, 0, 0))
    paint(tmp_path / "sub" / "a.jpg", (0, 0, 255))
    jsonl(
        tmp_path,
        {"file_name": "sub/a.jpg", "text": "blue, 蓝色", "more": 3},
        {"file_name": "./b.png", "text": "  red "},
    )
    data = PictureFolder(tmp_path, size=4)
    assert len(data) == 2 and data.names == ("b.png", "sub/a.jpg")
    indices = torch.tensor([1, 0, 1])
    pictures = data.pictures(indices)
    assert pictures.shape == (3, 3, 4, 4) and pictures.dtype == torch.float32
    assert pictures[1, :, 0, 0].tolist() == [1, -1, -1]
    assert data.captions(indices, torch.Generator()) == ["blue, 蓝色", "red", "blue, 蓝色"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_captions_csv(tmp_path, encoding):
    for name in ("a.png", "b.png"):
        paint(tmp_path / name)
    table(tmp_path, 'file_name,text\nb.png,"one, two"\na.png,红色的房子\n', encoding)
    assert PictureFolder(tmp_path).captions(torch.tensor([0, 1]), torch.Generator()) == ["红色的房子", "one, two"]


def test_text_beside_each_picture(tmp_path):
    paint(tmp_path / "a.png")
    paint(tmp_path / "sub" / "b.JPG")
    (tmp_path / "a.txt").write_text("\ufeffa red\nsquare\n", encoding="utf-8")
    (tmp_path / "sub" / "b.txt").write_text("another")
    assert PictureFolder(tmp_path).captions(torch.tensor([0, 1]), torch.Generator()) == ["a red square", "another"]


def test_jsonl_before_csv_before_txt(tmp_path):
    paint(tmp_path / "a.png")
    read = lambda: PictureFolder(tmp_path).captions(torch.tensor([0]), torch.Generator())  # noqa: E731
    (tmp_path / "a.txt").write_text("from txt")
    assert read() == ["from txt"]
    table(tmp_path, "file_name,text\na.png,from csv\n")
    assert read() == ["from csv"]
    jsonl(tmp_path, {"file_name": "a.png", "text": "from jsonl"})
    assert read() == ["from jsonl"]


def test_hidden_files_are_passed_over(tmp_path):
    paint(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("red")
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves in archives")
    (tmp_path / "._a.txt").write_bytes(b"\xff")
    assert len(PictureFolder(tmp_path)) == 1


# ------------------------------------------------------------------------------------------------ pictures


@pytest.fixture
def folder(tmp_path):
    jsonl(tmp_path, {"file_name": "a.png", "text": "a"})
    return tmp_path


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("LA", (0, 255), (0, 0, 0)),
        ("LA", (0, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # a fifth of black over white
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 100, (100, 100, 100)),
        ("I;16", 200, (1, 1, 1)),
    ],
)
def test_modes_of_png(folder, mode, colour, expected):
    paint(folder / "a.png", colour, mode=mode)
    assert (only(folder, size=4) == expected).all()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
        ("I;16B", 257 * 100, (100, 100, 100)),
        ("I", 65535, (255, 255, 255)),
        ("I", 10**6, (255, 255, 255)),
        ("PA", None, (255, 255, 255)),
    ],
)
def test_other_modes(mode, colour, expected):
    image = Image.new(mode, (2, 2), colour) if mode != "PA" else Image.new("RGBA", (2, 2), (0, 0, 0, 0)).convert("PA")
    rgb = to_rgb(image)
    assert rgb.mode == "RGB" and np.asarray(rgb) == pytest.approx(np.full((2, 2, 3), expected), abs=1)


def test_cmyk_jpeg(tmp_path):
    paint(tmp_path / "a.jpg", (0, 255, 255, 0), mode="CMYK")
    jsonl(tmp_path, {"file_name": "a.jpg", "text": "red"})
    assert only(tmp_path, size=4)[0, 0] == pytest.approx([255, 0, 0], abs=3)


def test_palette_with_and_without_transparency(folder):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(folder / "a.png")
    assert (only(folder, size=4) == (10, 200, 30)).all()
    image.save(folder / "a.png", transparency=1)
    assert (only(folder, size=4) == 255).all()


def test_transparent_colour_of_an_rgb_png(folder):
    paint(folder / "a.png", (1, 2, 3), transparency=(1, 2, 3))
    assert (only(folder, size=4) == 255).all()


def test_exif_rotation_is_undone(tmp_path):
    image = Image.new("RGB", (16, 16), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 16, 8))  # white above
    exif = image.getexif()
    exif[0x0112] = 6  # "turn it 90 degrees clockwise to see it": white ends on the right
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    jsonl(tmp_path, {"file_name": "a.jpg", "text": "a"})
    picture = only(tmp_path, size=16)
    assert picture[:, 12:].min() > 240 and picture[:, :4].max() < 15


@pytest.mark.parametrize(("size", "box"), [((30, 10), (10, 0, 20, 10)), ((10, 30), (0, 10, 10, 20))])
def test_the_middle_square_is_cut_out(folder, size, box):
    image = Image.new("RGB", size, (255, 255, 255))
    image.paste((0, 90, 0), box)
    image.save(folder / "a.png")
    assert (only(folder, size=10) == (0, 90, 0)).all()


def test_shrinking_averages_and_does_not_skip(folder):
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(folder / "a.png")
    assert np.abs(only(folder, size=16).astype(int) - 127.5).max() < 15


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
def test_tiny_and_narrow_pictures(folder, size):
    paint(folder / "a.png", (9, 8, 7), size=size)
    assert (only(folder, size=64) == (9, 8, 7)).all()


def test_full_range_and_default_size(folder):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(np.kron(ramp, np.ones((4, 4), np.uint8))).save(folder / "a.png")
    pictures = PictureFolder(folder).pictures(torch.tensor([0]))
    assert pictures.shape == (1, 3, 64, 64) and pictures.min() == -1 and pictures.max() == 1


# ------------------------------------------------------------------------------------------------ what is refused


def test_no_folder_no_pictures_no_size(tmp_path):
    assert refused(tmp_path / "gone").endswith("gone is not a folder.")
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file").endswith("file is not a folder.")
    assert "holds no pictures (looked for files ending in .png, .jpg" in refused(tmp_path)
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        PictureFolder(tmp_path, size=0)


def test_pictures_without_a_caption_are_named_up_to_five(tmp_path):
    for i in range(8):
        paint(tmp_path / f"{i}.png")
    jsonl(tmp_path, {"file_name": "3.png", "text": "three"}, {"file_name": "4.png", "text": "  "})
    assert refused(tmp_path).endswith("pictures without a caption: 0.png, 1.png, 2.png, 4.png, 5.png and 2 more.")
    (tmp_path / "metadata.jsonl").unlink()
    assert refused(tmp_path).endswith("pictures without a caption: 0.png, 1.png, 2.png, 3.png, 4.png and 3 more.")


def test_captions_without_a_picture(folder):
    paint(folder / "a.png")
    with (folder / "metadata.jsonl").open("a") as file:
        file.write('\n{"file_name": "b.png", "text": "b"}\n')
    assert refused(folder).endswith("captions for what is not a picture inside the folder: b.png.")
    (folder / "metadata.jsonl").unlink()
    (folder / "a.txt").write_text("a")
    (folder / "c.txt").write_text("c")
    assert refused(folder).endswith("captions for what is not a picture inside the folder: c.txt.")


def test_no_name_leads_out_of_the_folder(tmp_path):
    paint(tmp_path / "secret.png")
    paint(tmp_path / "data" / "a.png")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "sub/../../secret.png", "..\\secret.png"):
        jsonl(tmp_path / "data", {"file_name": "a.png", "text": "a"}, {"file_name": name, "text": "x"})
        assert refused(tmp_path / "data").endswith(f"not a picture inside the folder: {name}.")


def test_unreadable_pictures_are_named_with_the_reason(tmp_path):
    names = ["broken.png", "cut.jpg", "empty.gif", "float.tif", "fine.png", "text.webp"]
    paint(tmp_path / "fine.png")
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:700])
    Image.effect_noise((64, 64), 50).save(tmp_path / "broken.png")
    data = bytearray((tmp_path / "broken.png").read_bytes())
    data[100] ^= 255
    (tmp_path / "broken.png").write_bytes(data)
    (tmp_path / "empty.gif").write_bytes(b"")
    (tmp_path / "text.webp").write_text("no picture")
    Image.new("F", (4, 4)).save(tmp_path / "float.tif")
    jsonl(tmp_path, *({"file_name": name, "text": "x"} for name in names))
    sentence = refused(tmp_path)
    assert "pictures that cannot be read: broken.png (" in sentence and "fine.png" not in sentence
    assert all(f"{name} (" in sentence for name in ("cut.jpg", "empty.gif", "text.webp"))
    assert "float.tif (floating-point pixels have no known range)" in sentence


@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns of the first and refuses the second
def test_a_decompression_bomb_is_refused(folder, side):
    """A PNG of a few hundred bytes that claims 10^8 pixels and more."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data)
    assert "decompression bomb" in refused(folder)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"file_name": "a.png", "text": "a"}\n{oops', "metadata.jsonl, line 2 is not JSON"),
        ("[" * 100_000, "metadata.jsonl, line 1 is not JSON"),
        ('["a.png"]', "metadata.jsonl, entry 1 must have a file_name and a text, both strings"),
        ('{"file_name": "a.png"}', "entry 1 must have a file_name and a text"),
        ('{"file_name": "a.png", "text": 3}', "entry 1 must have a file_name and a text"),
        ('{"file_name": "a.png", "text": "a"}\n' * 2, "more than one caption for a.png"),
        ("", "pictures without a caption: a.png."),
    ],
)
def test_bad_jsonl(tmp_path, text, complaint):
    paint(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(text)
    assert complaint in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must begin with the header file_name,text"),
        ("name,caption\na.png,a\n", "must begin with the header file_name,text"),
        ("file_name,text\na.png\n", "entry 1 must have a file_name and a text"),
        ('file_name,text\na.png,"never closed\n', "is not CSV after line 1 (unexpected end of data)"),
        ("file_name,text\na.png,a\na.png,b\n", "more than one caption for a.png"),
    ],
)
def test_bad_csv(tmp_path, text, complaint):
    paint(tmp_path / "a.png")
    table(tmp_path, text)
    assert complaint in refused(tmp_path)


@pytest.mark.parametrize("name", ["metadata.jsonl", "captions.csv", "a.txt"])
def test_captions_that_are_not_text(tmp_path, name):
    paint(tmp_path / "a.png")
    (tmp_path / name).write_bytes(b"\xff\xfe\x00red")
    assert "are not UTF-8 text" in refused(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert f"{name}: Is a directory." in refused(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_a_link_that_leads_nowhere_is_no_picture(folder):
    (folder / "a.png").symlink_to(folder / "gone.png")
    assert "holds no pictures" in refused(folder)
