r"""The architecture: imports only go down, never in a circle, file by file; and no package is too large.

An import counts wherever it stands: at the top of a file, inside a function, under TYPE_CHECKING, or as a literal name
that `import_module` gets. That a file of a package also runs the package's `__init__.py` does not count, or every
package that exports names would be a circle.
"""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = "minidiffusion", "kernels/minidiffusion_kernels"
FLOORS = [
    {"minidiffusion"},  # the public names
    {"cli"},
    {"app"},
    {"training", "evaluation", "applications"},
    {"actions"},
    {"pipelines"},
    {"prompt", "pretrained", "tokens"},
    {"networks", "latent", "clip", "viz"},
    {"attention"},
    {
        *("minidiffusion_kernels", "diffusion", "mcmc", "data", "picturebook", "images"),
        *("checkpoint", "errors", "lazy", "version"),
    },
]
LEVEL = {room: -i for i, floor in enumerate(FLOORS) for room in floor}
LARGEST_SHARE = 0.12

Graph = dict[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    r"""{dotted name: file} of the library and of the kernels; a package is its `__init__.py`."""
    found = {}
    for source in SOURCES:
        folder = root / source
        for file in sorted(folder.rglob("*.py")):
            parts = (folder.name, *file.relative_to(folder).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(module: str, file: Path) -> Iterator[str]:
    r"""What a file imports, as absolute dotted names; of `from a import b`, a.b, whether b is a module or not."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute("." * node.level + (node.module or ""), package)
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (absolute(name.value, package) for name in node.args[:1] if isinstance(name, ast.Constant))


def absolute(name: str, package: str) -> str:
    r"""A name with leading dots, as seen from a package, without them."""
    rest = name.lstrip(".")
    if up := len(name) - len(rest):
        rest = ".".join(filter(None, [*package.split(".")[: len(package.split(".")) - up + 1], rest]))
    return rest


def imports(root: Path) -> Graph:
    r"""{module: the modules of the project that it imports}."""
    files = modules(root)
    graph: Graph = {}
    for module, file in files.items():
        graph[module] = set()
        for name in imported(module, file):
            while name and name not in files:  # a name inside a module, or a module of another project
                name = name.rpartition(".")[0]
            graph[module] |= {name} - {""}
    return graph


def room(module: str) -> str:
    r"""The package or file directly below `minidiffusion`; the root and the kernels are rooms of their own."""
    parts = module.split(".")
    return parts[1] if parts[0] == "minidiffusion" and len(parts) > 1 else parts[0]


def upward(graph: Graph) -> list[str]:
    r"""The imports that go up."""
    pairs = [(module, other) for module, others in graph.items() for other in others]
    return sorted(f"{a} imports {b}" for a, b in pairs if LEVEL[room(b)] > LEVEL[room(a)])


def circles(graph: Graph) -> list[str]:
    r"""The modules in circles, and between two of them.

    Removing, repeatedly, the modules that import none of the others leaves the circles and what leads to them; doing
    the same with all arrows reversed leaves the circles and what is between them.
    """
    for _ in range(2):
        while leaves := {module for module, others in graph.items() if not others & graph.keys()}:
            graph = {module: others for module, others in graph.items() if module not in leaves}
        graph = {module: {other for other in graph if module in graph[other]} for module in graph}
    return sorted(graph)


def test_every_room_has_a_floor():
    assert {room(module) for module in modules(ROOT)} == set(LEVEL)


def test_no_import_goes_up():
    assert upward(imports(ROOT)) == []


def test_there_are_no_circles():
    assert circles(imports(ROOT)) == []


def test_the_library_needs_neither_lessons_nor_tests_nor_benchmarks():
    for module, file in modules(ROOT).items():
        for name in imported(module, file):
            assert name.split(".")[0] not in ("lessons", "tests", "benchmarks", "examples", "docs"), f"{module}: {name}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    r"""The source files, in a folder of their own."""
    for source in SOURCES:
        for file in (ROOT / source).rglob("*.py"):
            target = tmp_path / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return tmp_path


def plant(file: Path, line: str) -> None:
    file.write_text(f"{file.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")


UNDER = "def later():\n    "


@pytest.mark.parametrize(
    "line",
    [
        "from minidiffusion.clip.encoder import CLIP",
        "import minidiffusion.clip.encoder",
        "from ..clip import encoder",
        UNDER + "from ..clip.encoder import CLIP",
        UNDER + 'return import_module("minidiffusion.clip.encoder")',
        "if TYPE_CHECKING:\n    from minidiffusion.clip.encoder import CLIP",
    ],
)
def test_an_upward_import_is_found(copy: Path, line: str):
    plant(copy / "minidiffusion" / "diffusion" / "schedule.py", line)
    assert upward(imports(copy)) == ["minidiffusion.diffusion.schedule imports minidiffusion.clip.encoder"]


@pytest.mark.parametrize(
    "line", ["from . import sampler", "from .sampler import ddim", UNDER + "from .sampler import ddim"]
)
def test_a_circle_is_found(copy: Path, line: str):
    plant(copy / "minidiffusion" / "diffusion" / "prediction.py", line)
    assert circles(imports(copy)) == ["minidiffusion.diffusion.prediction", "minidiffusion.diffusion.sampler"]


def test_no_room_is_larger_than_its_share():
    lines: dict[str, int] = {}
    for module, file in modules(ROOT).items():
        if module.startswith("minidiffusion.") or module == "minidiffusion":
            lines[room(module)] = lines.get(room(module), 0) + len(file.read_text(encoding="utf-8").splitlines())
    largest = max(lines, key=lambda name: lines[name])
    assert lines[largest] <= LARGEST_SHARE * sum(lines.values()), (largest, lines[largest], sum(lines.values()))
