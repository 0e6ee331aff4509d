r"""The project as a whole: what importing it costs, its pins and weights, and what must never slip in."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from docs import make_files

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "minidiffusion" / "weights"


def tracked() -> list[str]:
    r"""The files that git has or would have."""
    try:
        return make_files.tracked()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")


def python_files() -> list[Path]:
    return [ROOT / name for name in tracked() if name.endswith(".py")]


def test_making_pictures_needs_no_plots_no_app_and_no_other_system():
    code = "import sys, minidiffusion.pipelines.text_to_image; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"gradio", "matplotlib", "diffusers", "transformers", "minidiffusion.training"} & set(loaded.split())


def test_every_pickle_is_opened_with_suspicion():
    for file in python_files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "pickle.load", "pickle.loads"):
                safe = "weights_only=True" in map(ast.unparse, node.keywords)
                assert safe, f"{file.relative_to(ROOT)}:{node.lineno} could run a stranger's code"


def test_no_file_knows_a_developers_machine():
    home = re.compile(r"(?<![\w.])/(root|home/\w+|Users/\w+|work|tmp|opt/\w+)/[\w.]+")
    for name in tracked():
        if name.endswith((".py", ".md", ".toml", ".txt", ".json", ".ipynb", ".yml", ".cff", "Makefile", "run")):
            found = home.search((ROOT / name).read_text(encoding="utf-8"))
            assert not found, f"{name} mentions {found[0]}"


def test_the_pins_are_plain_versions_that_the_ranges_allow():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin)] == []
    assert {"torch==2.13.0", "triton==3.7.1"} <= set(pins)
    names = {re.sub(r"[-_.]+", "-", pin.partition("==")[0].lower()) for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    assert {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in wanted} <= names


@pytest.mark.parametrize("folder", sorted(WEIGHTS.glob("*/")), ids=lambda folder: folder.name)
def test_the_weights_are_the_ones_that_the_index_names(folder):
    files = [path for path in folder.iterdir() if path.is_file()]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    listed = json.loads((folder / "model.json").read_text())["sha256"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    for name, sha256 in listed.items():
        assert found[name] == sha256, f"{name} is not the file that model.json names"
    for name in found.keys() - listed.keys() - {"README.md"}:  # model.json itself, and the judge, which draws nothing
        assert found[name] in card, f"{name} is not the file that the model card names"
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 30e6
