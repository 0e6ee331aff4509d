r"""The checker: right answers pass, unwritten ones are forgiven, wrong ones are explained."""

import numpy as np
import pytest
import torch

from lessons.check import Exercise, Exercises, compare


def scale(x, factor):
    return x * factor


def cases():
    generator = torch.Generator().manual_seed(0)
    yield torch.randn(2, 3, generator=generator), 2.0
    yield torch.randn(4, 1, generator=generator).mT, -1.5


check = Exercises(
    scale=Exercise(scale, cases, mistakes={"adds instead of multiplying": lambda x, factor: x + factor}),
    corner=Exercise(lambda i: (i // 2, i % 2), lambda: [(0,), (3,)]),
)


def test_a_right_answer_passes_and_is_returned(capsys):
    def mine(x, factor):
        return factor * x

    assert check("scale", mine) is mine
    assert capsys.readouterr().out == "PASS scale\n"


def test_a_stub_is_to_do_and_replaced(capsys):
    def stub(x, factor):
        raise NotImplementedError

    assert check("scale", stub) is scale
    assert capsys.readouterr().out.startswith("TODO scale: ")


def test_a_known_mistake_is_named_and_replaced(capsys):
    assert check("scale", lambda x, factor: factor + x) is scale
    out = capsys.readouterr().out
    assert out.startswith("FAIL scale: called with (float32 tensor (2, 3), 2.0), it returned 3.54")
    assert "at [0, 0]; expected 3.08" in out
    assert "Likely mistake: adds instead of multiplying" in out


def in_place(x, factor):
    x *= factor
    return x


def nan(x, factor):
    return x * factor * float("nan")


def small_error(x, factor):
    return x * factor + 2e-5


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda x, factor: None, "returned nothing; is there a `return`?"),
        (lambda x, factor: x.sum() * factor, "returned the shape (); expected (2, 3)"),
        (lambda x, factor: "red", "returned 'red'; expected float32 tensor (2, 3)"),
        (lambda x: x, "raised TypeError: "),
        (in_place, "changed its own arguments"),
        (nan, "returned nan at [0, 0]; expected"),
        (small_error, "returned"),
        (lambda x, factor: x * abs(factor), "called with (float32 tensor (1, 4), -1.5), it returned"),
    ],
)
def test_a_wrong_answer_is_described_and_replaced(answer, complaint, capsys):
    assert check("scale", answer) is scale
    out = capsys.readouterr().out
    assert out.startswith("FAIL scale: called with (") and complaint in out
    assert "Likely mistake" not in out


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda i: [i // 2, i % 2], None),
        (lambda i: i, "returned 0; expected 2 things, [0, 0]"),
        (lambda i: (i // 2, i % 2, 0), "returned [0, 0, 0]; expected 2 things"),
        (lambda i: (i // 2, 0), "returned (in item 1) 0; expected 1"),
    ],
)
def test_answers_of_several_things(answer, complaint, capsys):
    check("corner", answer)
    out = capsys.readouterr().out
    assert out == "PASS corner\n" if complaint is None else complaint in out


def test_answers_may_be_arrays_of_another_kind(capsys):
    check("scale", lambda x, factor: np.asarray(x) * factor)
    assert capsys.readouterr().out == "PASS scale\n"


@pytest.mark.parametrize("expected", [-np.inf, np.inf, 2.0])
def test_infinity_is_only_itself(expected):
    for value in (-np.inf, np.inf, np.nan, 2.0, -1e300):
        difference = compare(np.array([value]), np.array([expected]), tolerance=1e-5)
        assert (difference is None) == (value == expected)


def test_a_mistake_that_gives_nan_is_recognised_by_it(capsys):
    half = Exercise(lambda x: 0.5 * x, lambda: [(np.array([0.0, 2.0]),)], {"0 / 0": lambda x: x * (x / (2 * x))})
    with np.errstate(invalid="ignore"):
        Exercises(half=half)("half", lambda x: x / x * x / 2)
    assert "Likely mistake: 0 / 0" in capsys.readouterr().out


def test_an_unknown_exercise_is_refused():
    with pytest.raises(KeyError, match="no exercise 'scales' in this lesson; there are: scale, corner"):
        check("scales", scale)
