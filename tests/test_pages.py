r"""What the pages say is so: links, commands, examples, versions; and what `make clean` and the workflow do."""

import os
import re
import subprocess
import sys
import tomllib
from types import ModuleType

import PIL.Image
import pytest
import yaml

from docs import make_files
from minidiffusion.actions import registry
from minidiffusion.images.record import Picture
from minidiffusion.version import __version__
from tests.test_project import ROOT, tracked
from tests.tiny import tiny_model


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def python_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", read(name), re.DOTALL)


# ----------------------------------------------------------------------------------------------------------- the pages


def test_relative_links_lead_somewhere():
    for name in tracked():
        if not name.endswith(".md"):
            continue
        text = re.sub(r"```.*?```", "", read(name), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (ROOT / name).parent / path if path else ROOT / name
            assert file.exists(), f"{name} links to {target}"
            if anchor:
                assert anchor in anchors(file.read_text(encoding="utf-8")), f"{name} links to {target}"


def anchors(text: str) -> set[str]:
    r"""What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_commands_on_the_pages_exist():
    makefile = read("Makefile")
    for name in ("README.md", "CONTRIBUTING.md", "lessons/README.md", "benchmarks/README.md", "kernels/README.md"):
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", read(name), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name} tells of `make {target}`"


def test_the_readme_is_short_and_names_every_folder():
    text = read("README.md")
    assert len(text.splitlines()) <= 220
    tree = re.search(r"```text\n(minidiffusion/.*?)```", text, re.DOTALL)
    assert tree, "the README has no tree of the folders"
    folders = {name.split("/")[1] for name in tracked() if re.match("minidiffusion/.*/", name)}
    folders |= {name.split("/")[0] for name in tracked() if re.match("[a-z].*/", name)}
    assert sorted(folders - set(re.findall(r"([a-z]+)/", tree[1]))) == []


def test_the_list_of_files_is_what_its_generator_writes():
    tracked()  # skips where there is no git
    assert read("docs/FILES.md") == make_files.page(), "run `make docs-files`"


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("One. Two.", "One"),
        ("Noise (Ho et al. 2020, eq. 5).\n\nMore.", "Noise (Ho et al. 2020, eq. 5)"),
        ("How fast? `timeit` says.", "How fast?"),
        ("A line\nthat goes on", "A line that goes on"),
    ],
)
def test_a_file_is_described_by_the_first_sentence_of_its_docstring(docstring, sentence):
    assert make_files.first_sentence(docstring) == sentence


def test_a_file_that_nothing_describes_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(make_files, "ROOT", tmp_path)
    (tmp_path / "new.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"new\.py has no docstring"):
        make_files.entry("new.py")


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path):
    (example,) = python_blocks("README.md")
    assert len([line for line in example.splitlines() if line]) <= 10
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True, capture_output=True)
    with PIL.Image.open(tmp_path / "boats.png") as boats, PIL.Image.open(tmp_path / "similar.png") as similar:
        assert boats.width > 2 * 64 and similar.size == (64, 64)


def test_the_action_in_contributing_is_whole(monkeypatch):
    (source,) = [block for block in python_blocks("CONTRIBUTING.md") if "@action" in block]
    assert len(source.splitlines()) < 30
    module = ModuleType("minidiffusion.actions.mirror")
    module.__package__ = "minidiffusion.actions"
    exec(compile(source, "mirror.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)  # as if the file were there
    monkeypatch.setattr(registry, "names", lambda: ["mirror"])
    monkeypatch.setattr(registry, "find", registry.find.__wrapped__)  # without its cache
    image = PIL.Image.radial_gradient("L").resize((16, 16)).convert("RGB")
    image.putpixel((0, 3), (255, 0, 0))
    model = tiny_model()
    for sides, flip in (("left-right", "FLIP_LEFT_RIGHT"), ("top-bottom", "FLIP_TOP_BOTTOM")):
        (picture,) = registry.find("mirror")(model, Picture(image, None), [0], sides=sides)
        assert picture.image.tobytes() == image.transpose(PIL.Image.Transpose[flip]).tobytes()
        assert registry.again(model, picture.record, [image]).image.tobytes() == picture.image.tobytes()


# --------------------------------------------------------------------------------------------------------- the version


def test_the_version_is_the_same_everywhere():
    citation, project = yaml.safe_load(read("CITATION.cff")), tomllib.loads(read("pyproject.toml"))
    assert project["tool"]["hatch"]["version"]["path"] == "minidiffusion/version.py"
    assert "version" in project["project"]["dynamic"] and "version" not in project["project"]
    released = re.findall(r"^## (\d\S+) - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.MULTILINE)
    assert released[0] == (__version__, citation["date-released"])
    assert citation["version"] == __version__


def test_what_was_renamed_is_there():
    r"""In the right columns of the changelog's tables: what the first names is a module, the second is defined."""
    newest = read("CHANGELOG.md").split("\n## ")[1]
    rows = re.findall(r"^\| `[^|]*\| ([^|]*) \|$", newest.partition("| name in")[0], re.MULTILINE)
    assert len(rows) > 20
    for row in rows:
        for name in re.findall(r"`(minidiffusion[\w.]*)`", row):
            path = (ROOT / "kernels" if name.startswith("minidiffusion_kernels") else ROOT) / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file(), f"the changelog names {name}"
    sources = "\n".join(read(name) for name in tracked() if name.startswith("minidiffusion/") and name.endswith(".py"))
    rows = re.findall(r"^\| `[^|]*\| ([^|]*) \|$", newest.partition("| name in")[2], re.MULTILINE)
    assert len(rows) > 20
    for name in re.findall(r"`[\w.]*?(\w+)`", " ".join(rows)):
        assert re.search(rf"\b(class|def) {name}\b|^{name}\b.* =|self\.[^=]*{name}\b.* =", sources, re.MULTILINE), name


# ------------------------------------------------------------------------------------------------- make clean, and CI


def test_clean_spares_pictures_and_trained_weights(tmp_path):
    kept = ["pictures/boat.png", "build/weights/unet.safetensors", "minidiffusion/weights/x.json", "lessons/a.py"]
    gone = [".venv/bin/python", "dist/a.whl", "a.egg-info/PKG-INFO", ".ruff_cache/x", "tests/a/__pycache__/x.pyc"]
    folders = [f"{name}/x" for name in ("minidiffusion", "kernels", "benchmarks", "tests", "docs", "examples")]
    for name in (*kept, *gone, *folders):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Makefile").write_text(read("Makefile"))
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert [name for name in gone if (tmp_path / name).exists()] == []
    listed = subprocess.run(["make", "help"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert re.search(r"make clean .*pictures/ and build/ .*kept", listed)


@pytest.fixture
def ci(tmp_path):
    r"""Runs .ci/run with a `make` that only notes what it is asked; one target fails."""
    notes = tmp_path / "notes"
    (tmp_path / "make").write_text(f'#!/bin/sh\necho "$@" >> {notes}\n[ "$1" != mutants ]\n')
    (tmp_path / "make").chmod(0o755)

    def run(*parts: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        notes.unlink(missing_ok=True)
        environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        command = ["bash", str(ROOT / ".ci" / "run"), *parts]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done, notes.read_text().splitlines() if notes.exists() else []

    return run


def test_ci_runs_all_parts_or_those_that_are_named(ci):
    done, asked = ci()
    targets = [line.split()[0] for line in asked]
    assert targets == ["lint", "check-pins", "test", "kernels-check", "mutants", "lessons-check"]
    assert done.returncode == 1 and done.stdout.endswith("failed: mutants\n")
    done, asked = ci("test", "lint")
    assert (done.returncode, asked) == (0, ["test", "lint"])
    done, asked = ci("tests")
    assert (done.returncode, asked) == (2, []) and "lint pins test kernels mutants lessons" in done.stderr


def test_the_workflow_runs_every_part(ci):
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    (job,) = workflow["jobs"].values()
    parts = set(job["strategy"]["matrix"]["part"])
    assert job["steps"][-1]["run"] == "bash .ci/run ${{ matrix.part }}"
    assert {each["part"] for each in job["strategy"]["matrix"]["include"]} <= parts
    _, asked = ci(*parts)
    assert len(asked) == len(parts) == len(ci()[1])
    assert workflow["env"]["TORCH_INDEX"] in read("README.md") and "TORCH_INDEX ?=" in read("Makefile")
    pythons = {*job["strategy"]["matrix"]["python"], *(each["python"] for each in job["strategy"]["matrix"]["include"])}
    assert pythons == set(re.search(r"^PYTHONS := (.*)", read("Makefile"), re.MULTILINE)[1].split())
