r"""The programs of examples/: each is short, runs in an empty folder, and writes the pictures that it should."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = {  # the fastest arguments, and {picture: its size}
    "points_in_the_plane.py": (["20"], {"points.png": (1440, 360)}),
    "digits.py": (["5"], {"digits.png": (534, 534)}),
    "text_to_image.py": (
        ["a blue cat", "2"],
        {"pictures.png": (516, 516), "steps.gif": (516, 516), "picture-3.png": (64, 64)},
    ),
    "image_to_image.py": (["2"], {"variations.png": (518, 648)}),
    "sampler_of_your_own.py": ([], {"boats.png": (774, 774)}),
}


def test_every_example_is_run_and_has_fewer_than_40_lines():
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(PROGRAMS)
    for name in PROGRAMS:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 40


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_draws_its_pictures(name, tmp_path):
    arguments, pictures = PROGRAMS[name]
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for file, size in pictures.items():
        with Image.open(tmp_path / file) as image:
            assert image.size == size
            assert len(image.convert("RGB").getcolors(2**20)) > 10
