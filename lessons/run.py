r"""Lessons, from their sources to executed notebooks.

A lesson is written in `NN_name.py` (jupytext's percent format: readable, reviewable, linted); `NN_name.ipynb`, which
students open, is made from it by

    python -m lessons.run            # every lesson
    python -m lessons.run 00 03      # these

In a source, the stub of exercise NAME is a code cell with the tag `ex-NAME`, the cell after it checks it, and a
markdown cell with the tag `solution-NAME` holds the folded solution as a fenced block. `wrong/lesson_NN.py` holds
planted mistakes. From these come three notebooks that must all run to the end:

    student   as it stands, nothing solved; this one is committed
    solved    each stub replaced by its solution
    wrong     the student's, with every planted mistake and its check before each stub, which stays

Lessons run without a network, 30 seconds a cell and 90 seconds a lesson at most.
"""

import base64
import copy
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
import PIL.Image
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
SECONDS_A_CELL = 30
SECONDS_A_LESSON = 90
VERDICT = re.compile(r"^(PASS|TODO|FAIL) (\w+)", re.MULTILINE)
PLANTED = re.compile(r"^# %% (?P<name>\w+) -> (?P<expected>.+)\n(?P<source>(?:(?!# %%).*\n?)*)", re.MULTILINE)


class Mistake(NamedTuple):
    r"""A planted wrong answer, and words that the verdict on it must contain."""

    name: str
    expected: str
    source: str


def sources() -> list[Path]:
    r"""The lessons, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def read(source: Path) -> NotebookNode:
    r"""The notebook that a source describes: not executed, with cell ids that stay the same from run to run."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info={"name": "python"})
    return notebook


def exercises(notebook: NotebookNode) -> dict[str, int]:
    r"""The exercises of a lesson: name -> index of the stub's cell. The cell after it holds the check."""
    tags = ((i, tag) for i, cell in enumerate(notebook.cells) for tag in cell.metadata.get("tags", []))
    return {tag.removeprefix("ex-"): i for i, tag in tags if tag.startswith("ex-")}


def solutions(notebook: NotebookNode) -> dict[str, str]:
    r"""name -> the code of its folded solution."""
    found = {}
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("solution-"):
                [found[tag.removeprefix("solution-")]] = re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)
    return found


def planted(source: Path) -> list[Mistake]:
    r"""The planted mistakes of a lesson, from `wrong/lesson_NN.py`; `# %% NAME -> words of the verdict` heads each."""
    text = (source.parent / "wrong" / f"lesson_{source.name[:2]}.py").read_text(encoding="utf-8")
    return [Mistake(**match.groupdict()) for match in PLANTED.finditer(text)]


def solved(notebook: NotebookNode) -> NotebookNode:
    r"""The lesson as the best student leaves it."""
    notebook, answers = copy.deepcopy(notebook), solutions(notebook)
    for name, i in exercises(notebook).items():
        notebook.cells[i].source = answers[name]
    return notebook


def wrong(notebook: NotebookNode, mistakes: list[Mistake]) -> NotebookNode:
    r"""The lesson as the most unlucky student goes through it: every mistake is made and checked, before the stub."""
    notebook = copy.deepcopy(notebook)
    for name, i in sorted(exercises(notebook).items(), key=lambda item: -item[1]):  # from the back: indices stay valid
        check = notebook.cells[i + 1].source
        for mistake in reversed([mistake for mistake in mistakes if mistake.name == name]):
            notebook.cells[i:i] = [nbformat.v4.new_code_cell(text) for text in (mistake.source, check)]
    return notebook


def execute(notebook: NotebookNode, folder: Path = FOLDER) -> NotebookNode:
    r"""Runs every cell, in place, in a kernel that sees no network.

    Raises nbclient's CellExecutionError for a cell that fails and CellTimeoutError for one that takes too long.
    """
    metadata, end = copy.deepcopy(notebook.metadata), time.monotonic() + SECONDS_A_LESSON
    with tempfile.TemporaryDirectory() as sockets:
        # Unix sockets where there are any: nothing listens on a port, and ipykernel does not warn about open TCP. They
        # lie beside the connection file; without one they would lie in the current folder, which is not the kernel's.
        transport = "tcp" if os.name == "nt" else "ipc"
        connection = str(Path(sockets) / "kernel.json")
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", transport=transport, connection_file=connection),
            timeout_func=lambda cell: max(1, min(SECONDS_A_CELL, int(end - time.monotonic()))),
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
        )

        async def go_offline(**_) -> None:
            kernel: AsyncKernelClient = client.kc  # pyright: ignore[reportAssignmentType]
            reply = await kernel.execute_interactive("from lessons import offline; offline.block()", silent=True)
            if reply["content"]["status"] != "ok":
                raise RuntimeError(f"the kernel cannot be taken off the network: {reply['content']['evalue']}")

        client.on_notebook_start = go_offline
        client.execute(cleanup_kc=True)
    notebook.metadata = metadata  # without the version of Python that happened to run it
    return notebook


def lighten(notebook: NotebookNode, colours: int = 128) -> NotebookNode:
    r"""Keeps of every picture one PNG with a palette, in place: a third of the size, so that a clone stays small."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data.pop("image/jpeg", None)
                picture = PIL.Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
                buffer = io.BytesIO()
                palette = picture.quantize(colours, kmeans=2, dither=PIL.Image.Dither.NONE)
                palette.save(buffer, format="PNG", optimize=True)
                data["image/png"] = base64.b64encode(buffer.getvalue()).decode()
    return notebook


def verdicts(notebook: NotebookNode) -> list[tuple[str, str, str]]:
    r"""What the checks printed, in order: (PASS | TODO | FAIL, name, the whole text)."""
    texts = ("".join(out.get("text", "") for out in cell.get("outputs", [])) for cell in notebook.cells)
    return [(match[1], match[2], text) for text in texts for match in VERDICT.finditer(text)]


def main() -> None:
    wanted = sys.argv[1:]
    for source in sources():
        if not wanted or source.name[:2] in wanted:
            start = time.monotonic()
            notebook = lighten(execute(read(source)))
            nbformat.write(notebook, source.with_suffix(".ipynb"))
            size = source.with_suffix(".ipynb").stat().st_size / 1000
            print(f"{source.stem}: {time.monotonic() - start:.0f} s, {size:.0f} kB")


if __name__ == "__main__":
    main()
