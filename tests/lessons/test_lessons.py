r"""Every lesson: its form, whether its notebook is the one its source describes, and whether it runs.

The tests marked `lesson` execute the notebook, twice: with the solutions; and as a student finds it, who makes every
planted mistake before leaving an exercise unsolved. `make lessons-check` runs these; `make test` runs the others.
"""

import re
from collections import Counter

import nbformat
import pytest

from lessons import run

MAX_KILOBYTES = 300
MAX_LINES = 15  # of a code cell

each_lesson = pytest.mark.parametrize("source", run.sources(), ids=lambda source: source.stem[:2])


def committed(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def outline(notebook):
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


@pytest.mark.lesson
@each_lesson
def test_every_folded_solution_passes(source):
    notebook = run.execute(run.solved(run.read(source)))
    assert [verdict[:2] for verdict in run.verdicts(notebook)] == [("PASS", name) for name in run.exercises(notebook)]


@pytest.mark.lesson
@each_lesson
def test_every_planted_mistake_is_named_and_who_solves_nothing_reaches_the_end(source):
    notebook, mistakes = run.read(source), run.planted(source)
    verdicts = run.verdicts(run.execute(run.wrong(notebook, mistakes)))
    expected = []
    for name in run.exercises(notebook):
        expected += [("FAIL", mistake.name, mistake.expected) for mistake in mistakes if mistake.name == name]
        expected.append(("TODO", name, ""))
    assert [verdict[:2] for verdict in verdicts] == [verdict[:2] for verdict in expected]
    for (_, _, text), (_, _, words) in zip(verdicts, expected, strict=True):
        assert words in text


@each_lesson
def test_the_notebook_is_the_one_that_the_source_describes(source):
    assert outline(committed(source)) == outline(run.read(source)), "the two differ; `make lessons` writes the notebook"


@each_lesson
def test_the_notebook_is_executed_and_small(source):
    notebook = committed(source)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = Counter(output.get("name", output.output_type) for cell in code for output in cell.outputs)
    assert not {"error", "stderr"} & set(kinds), "a committed notebook shows neither errors nor warnings"
    assert source.with_suffix(".ipynb").stat().st_size <= MAX_KILOBYTES * 1000


@each_lesson
def test_code_cells_are_short(source):
    for cell in run.read(source).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= MAX_LINES, cell.source


@each_lesson
def test_each_exercise_has_a_stub_a_check_help_a_solution_and_planted_mistakes(source):
    notebook = run.read(source)
    stubs, solutions, mistakes = run.exercises(notebook), run.solutions(notebook), run.planted(source)
    assert 1 <= len(stubs) <= 4
    assert list(stubs) == list(solutions)
    for name, i in stubs.items():
        stub, check, *below = (cell.source for cell in notebook.cells[i : i + 4])
        assert stub.startswith(f"def {name}(") and stub.endswith("raise NotImplementedError")
        assert check.startswith(f'{name} = check("{name}", {name})')
        assert "<details><summary>Help</summary>" in "".join(below)
        assert sum(mistake.name == name for mistake in mistakes) >= 2
    assert {mistake.name for mistake in mistakes} == set(stubs)


@each_lesson
def test_a_lesson_says_what_it_teaches_and_ends_with_questions(source):
    cells = [cell.source for cell in run.read(source).cells if cell.cell_type == "markdown"]
    first, last = cells[0], cells[-1]
    assert first.startswith(f"# {source.name[:2]} · ")
    for part in ("After this lesson you can", "**Time**", "**Article**", "**Files**"):
        assert part in first
    for part in ("## Summary", "## Can you still say it?", "## Go on"):
        assert part in last
    assert len(re.findall(r"^- ", last.partition("## Go on")[2], re.MULTILINE)) == 3
    text = "\n".join(cells)
    assert "Predict" in text and "negative control" in text
