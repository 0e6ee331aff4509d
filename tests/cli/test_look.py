r"""`minidiffusion look`: a sheet with a map for each word, or one sentence."""

import numpy as np
import PIL.Image
import pytest

from minidiffusion.cli import main
from tests.tiny import tiny_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    r"""run(command, arguments, ...) -> (status, output, errors), in an empty folder with the picture house-1.png."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--weights", str(folder)])
        return status, *capsys.readouterr()

    run("imagine", "a red 房子 by the sea", "--n", "1", "--steps", "2", "--out", "house.png")
    return run


def test_look_writes_a_sheet_and_says_which_map_is_whose(run):
    status, out, err = run("look", "house-1.png")
    *words, last = out.splitlines()
    assert (status, err, last) == (0, "", "look.png")
    numbers, weights, names = zip(*(line.split() for line in words), strict=True)
    assert names == ("a", "red", "房子", "by", "the", "sea") and numbers == tuple("123456")
    assert all(0 < float(weight) < 1 for weight in weights)
    sheet = np.asarray(PIL.Image.open("look.png").convert("RGB"))
    assert sheet.shape[1] > 1000 and sheet.std() > 10  # seven pictures, and not of nothing


def test_what_has_no_maps_gets_a_sentence_and_no_sheet(run, tmp_path):
    PIL.Image.new("RGB", (16, 16)).save("foreign.png")
    run("vary", "house-1.png", "--n", "1", "--steps", "2", "--out", "other.png")
    for file, words in (
        ("foreign.png", "not a PNG with a record"),
        ("nowhere.png", "no file"),
        ("house.png", "the record of a sheet; give one of its pictures"),
        ("other-1.png", "that imagine made"),
    ):
        status, out, err = run("look", file)
        assert (status, out, len(err.splitlines())) == (2, "", 1) and words in err
    assert run("look", "house-1.png", "--out", "a.jpg")[0] == 2
    assert not [*tmp_path.glob("look*"), *tmp_path.glob("a.*")]
