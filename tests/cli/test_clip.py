r"""`minidiffusion clip` (the article's listing 4.2) and `minidiffusion search`, with the shipped weights."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

from minidiffusion.cli.clip import clip, search
from minidiffusion.clip.picture_index import weights_hash
from minidiffusion.clip.preprocess import Preprocess
from minidiffusion.errors import UserError
from minidiffusion.picturebook.captions import caption
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import scene_of_page
from tests.clip import tiny_clip
from tests.tiny import tiny_model


def caption_of(page: Path) -> str:
    return caption(scene_of_page(int(page.stem), 7, "seen"), np.random.default_rng(0)).text


@pytest.fixture
def book(tmp_path) -> Path:
    r"""Eight pages of a picture book that nobody has trained on."""
    folder = tmp_path / "book"
    folder.mkdir()
    for i in range(8):
        Image.fromarray(render(scene_of_page(i, 7, "seen"))).save(folder / f"{i}.png")
    return folder


def test_the_right_label_comes_first(book, capsys):
    labels = [caption_of(page) for page in book.glob("*.png")]
    for page in book.glob("*.png"):
        clip([str(page), *(word for label in labels for word in ("--label", label))])
        head, first, *others = capsys.readouterr().out.splitlines()
        assert head.split() == ["probability", "cosine", "label"] and len(others) == 7
        assert first.endswith(caption_of(page))
        percents = [float(line.split()[0]) for line in (first, *others)]
        assert percents == sorted(percents, reverse=True) and sum(percents) == pytest.approx(100, abs=0.1)


def test_a_single_label_is_told_that_it_has_no_rival(book, capsys):
    clip([str(next(book.glob("*.png"))), "--label", "a house"])
    out = capsys.readouterr().out
    assert "100.00 %" in out and "always 1" in out


def test_a_label_too_long_says_what_is_lost(book, capsys):
    clip([str(next(book.glob("*.png"))), "--label", "a house " * 40, "--label", "a cat"])
    assert "not read is" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_transformers_with_openai_ids(book, tmp_path, capsys):
    pytest.importorskip("transformers")
    ids = {"vocab_size": 49_408, "eos_token_id": 2, "max_position_embeddings": 77}
    folder = tiny_clip.save(tiny_clip.reference(**ids), tmp_path / "real")
    clip([str(next(book.glob("*.png"))), "--label", "a cat", "--label", "a dog", "--weights", str(folder)])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_mistakes_are_sentences(book):
    page = str(next(book.glob("*.png")))
    for arguments in ([page], [page, "--label", " "]):
        with pytest.raises(UserError, match="needs labels"):
            clip(arguments)
    for arguments, sentence in (
        (["a", str(book), "--n", "0"], "n must be between 1 and 64, got 0"),
        (["", str(book)], "words or --like"),
        (["a", str(book), "--like", page], "words or --like"),
        (["a", str(book), "--out", "a.jpg"], "must be a .png file"),
        (["a", page], "not a folder"),
    ):
        with pytest.raises(UserError, match=sentence):
            search(arguments)


def found(capsys) -> list[str]:
    return [line.split("   ")[1] for line in capsys.readouterr().out.splitlines()[:-1]]


def test_words_find_the_picture(book, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    for page in book.glob("*.png"):
        search([caption_of(page), str(book), "--n", "4", "--out", str(sheet)])
        names = found(capsys)
        assert len(names) == 4 and names[0] == page.name
    with Image.open(sheet) as picture:
        assert picture.size == (2 * 160 + 1, 2 * 160 + 1)


def test_a_picture_finds_itself(book, tmp_path, capsys):
    page = next(book.glob("*.png"))
    search(["", str(book), "--like", str(page), "--out", str(tmp_path / "sheet.png")])
    assert found(capsys)[0] == page.name


def test_what_was_seen_is_remembered_and_what_changed_is_seen_anew(book, tmp_path, capsys, monkeypatch):
    from minidiffusion.clip import picture_index

    read, real = [], picture_index.read_picture
    monkeypatch.setattr(picture_index, "read_picture", lambda file: read.append(file.name) or real(file))

    def look() -> list[str]:
        read.clear()
        search(["a house", str(book), "--out", str(tmp_path / "sheet.png"), "--n", "64"])
        return found(capsys)

    pages = sorted(page.name for page in book.glob("*.png"))
    assert sorted(look()) == pages and sorted(read) == pages
    assert sorted(look()) == pages and read == []
    then = (book / pages[0]).stat().st_mtime_ns
    Image.new("RGB", (9, 9)).save(book / pages[0])
    os.utime(book / pages[0], ns=(then, then))  # another size, the same time
    (book / pages[1]).unlink()
    os.utime(book / pages[2], ns=(0, 0))  # another time, the same size
    assert sorted(look()) == [pages[0], *pages[2:]] and sorted(read) == [pages[0], pages[2]]
    kept = json.loads((book / picture_index.FOLDER / "index.json").read_text())
    (book / picture_index.FOLDER / "index.json").write_text(json.dumps(kept | {"weights": "others"}))
    look()
    assert len(read) == 7
    file = book / picture_index.FOLDER / "embeddings.safetensors"
    rows = safetensors.torch.load(file.read_bytes())["embeddings"]
    for content in (b"damaged", safetensors.torch.save({"embeddings": rows.roll(1, dims=0)})):  # or of another run
        file.write_bytes(content)
        look()
        assert len(read) == 7


def test_an_index_is_for_the_same_numbers_seeing_the_same_way():
    def key(seed=0, size=8, heads=2):
        model = tiny_model(seed)
        model.clip.config = replace(model.clip.config, vision_heads=heads)
        return weights_hash(model.clip, Preprocess(size))

    assert key() == key()
    assert len({key(), key(seed=1), key(size=16), key(heads=4)}) == 4


def test_a_picture_that_cannot_be_read_is_named_and_passed_over(book, tmp_path, capsys):
    (book / "bad.png").write_bytes(b"bad")
    search(["a house", str(book), "--out", str(tmp_path / "sheet.png")])
    assert "bad.png" in capsys.readouterr().err
