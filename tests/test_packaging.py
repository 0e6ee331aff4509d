r"""What is installed: two packages, under two names that are nobody else's, with every file that they read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from minidiffusion.version import __version__

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "minidiffusion": ROOT / "minidiffusion",
    "minidiffusion_kernels": ROOT / "kernels" / "minidiffusion_kernels",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Iterator[ZipFile]:
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    with ZipFile(path) as file:
        yield file


def test_its_names_are_those_of_the_two_packages_only(wheel):
    r"""`kernels` on PyPI is Hugging Face's: with a `kernels/` of ours, installing one would overwrite the other."""
    names = {name.partition("/")[0] for name in wheel.namelist()}
    assert names == {*PACKAGES, f"minidiffusion-{__version__}.dist-info"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_it(wheel, package):
    files = [file for file in PACKAGES[package].rglob("*") if file.is_file() and file.parent.name != "__pycache__"]
    shipped = {name for name in wheel.namelist() if name.startswith(f"{package}/")}
    assert {f"{package}/{file.relative_to(PACKAGES[package]).as_posix()}" for file in files} == shipped
    assert f"{package}/py.typed" in shipped


def test_weights_the_page_and_the_licences_are_in_it(wheel):
    names = wheel.namelist()
    for folder, needed in {
        "minidiffusion/weights/picturebook/": ["model.json", "unet.safetensors", "README.md"],
        "minidiffusion/weights/digits/": ["model.json", "digits.safetensors", "README.md"],
        "minidiffusion/app/": ["page.css", "page.js"],
        f"minidiffusion-{__version__}.dist-info/licenses/": [
            "LICENSE",
            "minidiffusion/data/EMOJI_NOTICE.md",
            "minidiffusion/clip/bpe_simple_vocab_16e6.LICENSE.md",
        ],
    }.items():
        assert [name for name in needed if folder + name not in names] == []


def test_the_version_and_the_command_are_in_it(wheel):
    about = f"minidiffusion-{__version__}.dist-info/"
    assert message_from_string(wheel.read(about + "METADATA").decode())["Version"] == __version__
    assert "minidiffusion = minidiffusion.cli:main" in wheel.read(about + "entry_points.txt").decode()


@pytest.mark.parametrize("order", [("kernels", *PACKAGES), (*PACKAGES, "kernels")])
def test_it_is_imported_beside_another_package_called_kernels(wheel, tmp_path, order):
    wheel.extractall(tmp_path, [name for name in wheel.namelist() if name.endswith(".py")])
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("def get_kernel(): ...\n")
    names = ", ".join(order)
    code = f"import json, {names}; kernels.get_kernel; print(json.dumps([module.__file__ for module in ({names})]))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}  # before the folders of the project
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(tmp_path / name / "__init__.py") for name in order]
