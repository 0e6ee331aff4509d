"""The picture book on disk: made once, complete or not there, and the same whoever renders it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from minidiffusion.errors import UserError
from minidiffusion.picturebook import dataset
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.draw import render
from tests.unchecked import unchecked


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIDIFFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_pictures_are_the_renders_of_the_scenes_scaled_to_plus_minus_one():
    book = PictureBook(20)
    pictures = book.pictures(torch.tensor([3, 17, 3]))
    assert pictures.shape == (3, 3, 64, 64)
    assert pictures.dtype == torch.float32
    for picture, i in zip(pictures, (3, 17, 3), strict=True):
        assert np.array_equal(((picture.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy(), render(book.scene(i)))
    assert len(book) == 20
    assert book.labels.dtype == torch.int64
    assert [tuple(row) for row in book.labels.tolist()] == [book.scene(i).labels for i in range(20)]


def test_with_and_without_a_cache_the_pictures_are_the_same():
    indices = torch.arange(12)
    assert torch.equal(PictureBook(12).pictures(indices), PictureBook(12, cache=False).pictures(indices))


def test_a_longer_book_begins_with_the_shorter_one():
    indices = torch.arange(5)
    assert torch.equal(PictureBook(5).pictures(indices), PictureBook(9).pictures(indices))


def test_the_splits_and_seeds_are_different_books(cache: Path):
    assert all(PictureBook(10, split="held_out", cache=False).scene(i).held_out for i in range(10))
    assert not any(PictureBook(60, split="seen", cache=False).scene(i).held_out for i in range(60))
    books = [PictureBook(2), PictureBook(2, seed=1), PictureBook(2, split="held_out"), PictureBook(3)]
    assert len(list(cache.glob("*.npy"))) == len(books)
    assert not torch.equal(books[0].labels, books[1].labels)


@pytest.mark.parametrize("shape", [(128, 64, 1), (64, 80, 2)])
def test_a_book_of_another_shape_has_the_same_scenes_and_a_cache_of_its_own(cache: Path, shape: tuple[int, int, int]):
    width, height, scale = shape
    plain = PictureBook(4)
    cached, other = (PictureBook(4, cache=kept, width=width, height=height, scale=scale) for kept in (True, False))
    pictures = cached.pictures(torch.tensor([3, 0]))
    assert pictures.shape == (2, 3, scale * height, scale * width)
    assert torch.equal(pictures, other.pictures(torch.tensor([3, 0])))
    seen = ((pictures[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    assert np.array_equal(seen, render(plain.scene(3), width, height, scale))
    name = f"picturebook-{dataset.source_hash()}-seen-0-4"
    names = {f"{name}.npy", f"{name}-{width}x{height}x{scale}.npy"}
    assert {path.name for path in cache.glob("*.npy")} == names


def test_the_cache_is_rendered_once_and_read_only(monkeypatch: pytest.MonkeyPatch):
    first = PictureBook(4)

    def render_again(*_: object, **__: object) -> None:
        raise AssertionError("rendered a second time")

    monkeypatch.setattr(dataset, "render_pages", render_again)
    again = PictureBook(4)
    assert torch.equal(first.pictures(torch.arange(4)), again.pictures(torch.arange(4)))
    with pytest.raises(ValueError, match="read-only"):
        again._rendered[0] = 0


def test_another_source_is_another_cache(cache: Path, monkeypatch: pytest.MonkeyPatch):
    PictureBook(2)
    monkeypatch.setattr(dataset, "source_hash", lambda: "another")
    PictureBook(2)
    assert len(list(cache.glob("*.npy"))) == 2


def test_an_interrupted_rendering_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "render_pages", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PictureBook(4)
    assert list(cache.iterdir()) == []


def test_every_chunk_of_pages_lands_in_its_place(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "CHUNK", 4)
    indices = torch.arange(10)
    assert torch.equal(PictureBook(10, workers=1).pictures(indices), PictureBook(10, cache=False).pictures(indices))


TWO_PROCESSES = """
import torch
from minidiffusion.picturebook import dataset
if __name__ == "__main__":
    dataset.CHUNK = 4
    rendered, indices = dataset.PictureBook(10, workers=2, width=80), torch.arange(10)
    assert torch.equal(rendered.pictures(indices), dataset.PictureBook(10, cache=False, width=80).pictures(indices))
    print("the same")
"""


def test_two_processes_render_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = tmp_path / "two_processes.py"
    script.write_text(TWO_PROCESSES)
    monkeypatch.setenv("PYTHONPATH", str(Path(dataset.__file__).parents[2]))
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert run.stdout == "the same\n"


def test_captions_come_from_the_generator_alone():
    book = PictureBook(30, cache=False)
    indices = torch.arange(30)
    first = book.captions(indices, torch.Generator().manual_seed(0))
    torch.manual_seed(123)
    np.random.seed(123)
    assert book.captions(indices, torch.Generator().manual_seed(0)) == first
    assert book.captions(indices, torch.Generator().manual_seed(1)) != first
    generator = torch.Generator().manual_seed(0)
    assert book.captions(indices, generator) != book.captions(indices, generator)
    assert any(text.isascii() for text in first) and not all(text.isascii() for text in first)


def test_impossible_books_are_refused():
    with pytest.raises(UserError, match="n must be at least 1, got 0"):
        PictureBook(0)
    with pytest.raises(UserError, match="seed must be at least 0, got -1"):
        PictureBook(3, seed=-1)
    with pytest.raises(UserError, match="split must be one of seen, held_out, all, got 'train'"):
        unchecked(PictureBook.__init__)(PictureBook(3, cache=False), 3, split="train")
    with pytest.raises(UserError, match="got 80 x 80"):
        PictureBook(3, width=80, height=80)
    for i in (-1, 3):
        with pytest.raises(IndexError, match=f"page {i} is not in a picture book of 3 pages"):
            PictureBook(3, cache=False).scene(i)
