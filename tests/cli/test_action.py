r"""A file in `actions/` is a command, with its options and its line of help, and nothing else has to be touched."""

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from minidiffusion import actions
from minidiffusion.actions import registry
from minidiffusion.cli import main
from minidiffusion.images.png import read_record
from tests.tiny import tiny_weights

MIRROR = '''r"""The picture, mirrored: nothing is drawn.

More about it.
"""

from typing import Annotated, Literal

import torch

from minidiffusion.images.pixels import to_tensor

from .action import Option, action

Axis = Literal["x", "y"]
SIGN = Option("1 or -1, as a word", read={"one": 1, "minus one": -1}.__getitem__)


@action(n=2)
def flipped(
    model,
    picture,
    prompt,
    seeds,
    settings,
    *,
    axis: Annotated[Axis, Option("which way", positional=True)] = "x",
    shade: Annotated[float, Option("how dark, as a share", 0, 1)] = 0.0,
    sign: Annotated[int, SIGN] = 1,
):
    r"""Mirror a picture. Raises UserError never."""
    x = to_tensor(picture.image).flip(3 if axis == "x" else 2)
    return torch.cat([sign * (x + 1) * (1 - shade) - 1] * len(seeds))
'''


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    return str(tiny_weights(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def run(weights, tmp_path, monkeypatch, capsys):
    r"""run(arguments, ...) -> (status, output, errors), where there is an action flipped, and a picture photo.png."""
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "flipped.py").write_text(MIRROR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(actions, "__path__", [*actions.__path__, str(tmp_path / "planted")])
    values = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    PIL.Image.fromarray(values).save("photo.png")

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as leaving:  # tyro, on --help and on options it cannot parse
            status = leaving.code
        return status, *capsys.readouterr()

    yield run
    registry.find.cache_clear()
    sys.modules.pop("minidiffusion.actions.flipped", None)
    vars(actions).pop("flipped", None)


def image(name: str) -> np.ndarray:
    with PIL.Image.open(name) as opened:
        return np.asarray(opened.convert("RGB"))


def test_it_draws_and_what_it_drew_can_be_made_again(run, weights):
    quick = ("--weights", weights, "--seed", "5")
    status, out, err = run("flipped", "photo.png", *quick, "--out", "new.png")
    assert status == 0 and "2 pictures of 32 x 16" in out and "prompt is empty" in err
    assert (image("new-2.png") == image("photo.png")[:, ::-1]).all()
    assert read_record("new-2.png")["seed"] == 6
    assert run("flipped", "photo.png", "y", "--shade", "1", "--n", "1", *quick, "--out", "new.png")[0] == 0
    record = read_record("new-1.png")
    assert (record["action"], record["settings"]) == ("flipped", {"axis": "y", "shade": 1.0, "sign": 1})
    assert run("again", "new-1.png", "--source", "photo.png", "--weights", weights) == (0, "again.png\n", "")
    assert (image("again.png") == image("new-1.png")).all()


def test_its_options_are_those_of_its_signature(run, weights):
    status, out, err = run("flipped", "--help")
    assert (status, err) == (0, "") and "Mirror a picture." in out and "Raises" not in out
    assert "How dark, as a share. Valid: 0 to 1. (default: 0.0)" in " ".join(out.replace("│", " ").split())
    assert "{x,y}" in out and "--sign" in out and "--seed" in out and "--n INT" in out
    minus = ("--sign", "minus one", "--weights", weights, "--n", "1", "--out", "a.png")
    assert run("flipped", "photo.png", *minus)[0] == 0
    assert read_record("a-1.png")["settings"]["sign"] == -1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("photo.png", "--shade", "2"), "shade must be between 0 and 1, got 2.0."),
        (("photo.png", "z"), "invalid choice"),
        (("photo.png", "x", "photo.png"), "unrecognized"),
        ((), "PICTURE"),
        (("none.png",), "none.png"),
        (("photo.png", "--n", "0"), "n must be between 1 and 64, got 0."),
        (("photo.png", "--prompt", "photo.png a cat"), "Only a new picture can look at others"),
    ],
)
def test_what_is_wrong_is_said_before_weights_are_loaded(run, arguments, words):
    status, out, err = run("flipped", *arguments, "--weights", "nowhere")
    assert (status, out) == (2, "") and words.lower() in err.lower()


def test_it_has_its_line_in_the_help_which_needs_no_pytorch(run, tmp_path):
    lines = run("--help")[1].splitlines()
    assert lines.count(f"  {'flipped PICTURE ...':30}The picture, mirrored: nothing is drawn.") == 1
    assert "flipped" in run("mirrored")[2]
    code = f"""
import sys
from minidiffusion import actions
actions.__path__.append({str(tmp_path / "planted")!r})
from minidiffusion.cli import main
main(["--help"])
print("loaded:", "torch" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=170).stdout
    assert "flipped PICTURE ..." in out and out.endswith("loaded: False\n")
