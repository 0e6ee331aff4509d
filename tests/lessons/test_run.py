r"""The runner, on a lesson of four cells."""

import base64
import io
import textwrap

import nbclient
import numpy
import PIL.Image
import pytest

from lessons import run

LESSON = """\
# %% [markdown]
# # Twice

# %%
print("before")
check = lambda name, f: print("PASS twice") if f(2) == 4 else print("FAIL twice:", f(2))

# %% tags=["ex-twice"]
def twice(x):
    return 3 * x

# %%
check("twice", twice)

# %% [markdown] tags=["solution-twice"]
# <details><summary>Solution</summary>
#
# ```python
# def twice(x):
#     return 2 * x
# ```
# </details>
"""

WRONG = """\
# Planted mistakes.

# %% twice -> squared
def twice(x):
    return x**3


# %% twice -> 1
def twice(x):
    return x - 1
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "00_twice.py").write_text(LESSON)
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "lesson_00.py").write_text(WRONG)
    return tmp_path / "00_twice.py"


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_a_source_becomes_the_same_notebook_every_time(source):
    first, second = run.read(source), run.read(source)
    assert first == second
    assert [cell.cell_type for cell in first.cells] == ["markdown", "code", "code", "code", "markdown"]
    assert run.exercises(first) == {"twice": 2}


def test_the_solution_replaces_the_stub(source):
    student = run.read(source)
    assert code(run.solved(student))[1] == "def twice(x):\n    return 2 * x\n"
    assert code(student)[1] == "def twice(x):\n    return 3 * x"


def test_the_mistakes_come_before_the_stub_each_with_its_check(source):
    mistakes = run.planted(source)
    assert [(mistake.name, mistake.expected) for mistake in mistakes] == [("twice", "squared"), ("twice", "1")]
    cells = code(run.wrong(run.read(source), mistakes))
    check = 'check("twice", twice)'
    assert cells[2::2] == [check, check, check]
    assert [cell.split("return ")[1].strip() for cell in cells[1::2]] == ["x**3", "x - 1", "3 * x"]


def test_verdicts_are_read_from_what_an_executed_lesson_printed(source):
    notebook = run.execute(run.wrong(run.read(source), run.planted(source)), source.parent)
    assert run.verdicts(notebook) == [("FAIL", "twice", f"FAIL twice: {result}\n") for result in (8, 1, 6)]


def execute_cell(tmp_path, text):
    (tmp_path / "cell.py").write_text("# %%\n" + textwrap.dedent(text))
    return run.execute(run.read(tmp_path / "cell.py"), tmp_path)


def test_a_lesson_has_no_network_but_has_this_machine(tmp_path):
    notebook = execute_cell(
        tmp_path,
        """\
        import socket, urllib.request
        listening = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(listening.getsockname())
        web, socket_ = (urllib.request.urlopen, "https://pypi.org"), (socket.create_connection, ("192.0.2.1", 80))
        for reach, where in (web, socket_):
            try:
                reach(where)
            except OSError as error:
                print(error)
        """,
    )
    text = notebook.cells[0].outputs[0].text
    assert "socket.getaddrinfo for 'pypi.org': lessons and tests must run without a network" in text
    assert "socket.getaddrinfo for '192.0.2.1': lessons and tests must run without a network" in text


def test_a_cell_that_fails_stops_the_lesson(tmp_path):
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        execute_cell(tmp_path, "1 / 0\n")


def test_a_cell_that_takes_too_long_stops_the_lesson(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SECONDS_A_CELL", 1)
    with pytest.raises(nbclient.exceptions.CellTimeoutError):
        execute_cell(tmp_path, "import time; time.sleep(60)\n")


def test_cells_that_take_too_long_together_stop_the_lesson(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SECONDS_A_LESSON", 2)
    with pytest.raises(nbclient.exceptions.CellTimeoutError):
        execute_cell(tmp_path, "import time\n# %%\ntime.sleep(1.5)\n# %%\ntime.sleep(1.5)\n# %%\ntime.sleep(1.5)\n")


def test_pictures_are_kept_once_and_small(tmp_path):
    notebook = execute_cell(
        tmp_path,
        """
        import numpy, PIL.Image
        x, y = numpy.mgrid[:200, :200]
        PIL.Image.fromarray(numpy.stack([x, y, (x * y) % 251], -1).astype("uint8"))
        """,
    )
    data = notebook.cells[0].outputs[0].data
    before = PIL.Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    size = len(data["image/png"])
    run.lighten(notebook)
    after = PIL.Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert len(data["image/png"]) < size / 2 and "image/jpeg" not in data
    error = numpy.abs(numpy.subtract(after.convert("RGB"), before.convert("RGB"), dtype=float)).mean()
    assert after.size == before.size and error < 20
