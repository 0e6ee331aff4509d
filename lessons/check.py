r"""Exercises that check themselves, and never stop a notebook.

    guide = check("guide", guide)

prints one of

    PASS guide
    TODO guide: not written yet; a working version is used from here on
    FAIL guide: what differs first, and the mistake that would explain it

and returns the student's function if it passes, the library's otherwise, so that the rest of the lesson always runs.

Each lesson keeps its exercises in a file of its own, `exercises/lesson_NN.py`. A likely mistake is stated as code: the
*wrong function* beside a sentence. When a student's answers equal the wrong function's answers on every input, that is
the mistake, and the sentence is printed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Exercise:
    r"""One function to be written.

    reference: the library's version.
    cases: makes the argument tuples afresh at each call, always the same ones (seed what is random). Fresh, because a
        student's function may change its arguments; several, because one case is passed by accident.
    mistakes: a sentence -> the wrong function that it describes.
    tolerance: how far an answer may be from the reference's, relative to the larger of 1 and the reference.
    """

    reference: Callable
    cases: Callable[[], Iterable[tuple]]
    mistakes: Mapping[str, Callable] = field(default_factory=dict)
    tolerance: float = 1e-5


class Exercises:
    r"""The exercises of a lesson by name; calling it checks one. Raises KeyError for a name that is not among them."""

    def __init__(self, **exercises: Exercise):
        self.exercises = exercises

    def __call__(self, name: str, answer: Callable) -> Callable:
        r"""Prints the verdict on `answer`; returns it if it is right, the reference if not."""
        if name not in self.exercises:
            raise KeyError(f"no exercise {name!r} in this lesson; there are: {', '.join(self.exercises)}")
        exercise = self.exercises[name]
        try:
            complaint = first_difference(exercise, answer)
        except NotImplementedError:
            print(f"TODO {name}: not written yet; a working version is used from here on")
            return exercise.reference
        if complaint is None:
            print(f"PASS {name}")
            return answer
        print(f"FAIL {name}: {complaint}")
        if mistake := likely_mistake(exercise, answer):
            print(f"     Likely mistake: {mistake}")
        print("     A working version is used from here on.")
        return exercise.reference


def first_difference(exercise: Exercise, answer: Callable) -> str | None:
    r"""The first thing that is wrong with the answer, in words; None if nothing is.

    A NotImplementedError passes through: that is a stub, and no mistake.
    """
    rounds = zip(exercise.cases(), exercise.cases(), exercise.cases(), strict=True)
    for arguments, untouched, for_reference in rounds:
        call = f"called with ({', '.join(map(brief, arguments))}), it"
        try:
            result = answer(*arguments)
        except NotImplementedError:
            raise
        except Exception as error:  # whatever a student's code may raise is a finding, not an accident
            return f"{call} raised {type(error).__name__}: {error}"
        expected = exercise.reference(*for_reference)
        if result is None:
            return f"{call} returned nothing; is there a `return`?"
        if difference := compare(result, expected, exercise.tolerance):
            return f"{call} returned {difference}"
        if any(compare(*pair, tolerance=0.0) for pair in zip(arguments, untouched, strict=True)):
            return f"{call} changed its own arguments; make a new array instead"
    return None


def likely_mistake(exercise: Exercise, answer: Callable) -> str | None:
    r"""The first known mistake that gives the same as the answer on every case."""
    for sentence, wrong in exercise.mistakes.items():
        try:
            pairs = [(answer(*a), wrong(*b)) for a, b in zip(exercise.cases(), exercise.cases(), strict=True)]
        except Exception:  # the answer, or the mistake, cannot be computed: then they are not the same
            continue
        if not any(compare(mine, theirs, exercise.tolerance, same_nan=True) for mine, theirs in pairs):
            return sentence
    return None


def compare(result: Any, expected: Any, tolerance: float, same_nan: bool = False) -> str | None:
    r"""How `result` differs from `expected`, in words, or None. Tensors, arrays, numbers, and tuples of them.

    A NaN differs from everything, and from another NaN unless `same_nan`.
    """
    if isinstance(expected, tuple | list):
        if not isinstance(result, tuple | list) or len(result) != len(expected):
            return f"{brief(result)}; expected {len(expected)} things, {brief(expected)}"
        parts = (compare(mine, theirs, tolerance, same_nan) for mine, theirs in zip(result, expected, strict=True))
        return next((f"(in item {i}) {difference}" for i, difference in enumerate(parts) if difference), None)
    if is_numeric(expected) != is_numeric(result):
        return f"{brief(result)}; expected {brief(expected)}"
    if not is_numeric(expected):
        return None if result == expected else f"{brief(result)}; expected {brief(expected)}"
    mine, theirs = as_array(result), as_array(expected)
    if mine.shape != theirs.shape:
        return f"the shape {mine.shape}; expected {theirs.shape}"
    finite = np.isfinite(theirs)
    allowed = tolerance * np.maximum(1, np.abs(theirs, where=finite, out=np.zeros_like(theirs)))
    with np.errstate(invalid="ignore"):  # inf - inf
        near = finite & (np.abs(mine - theirs) <= allowed)  # False for NaN
    far = ~(near | (mine == theirs) | (same_nan & np.isnan(mine) & np.isnan(theirs)))
    if not far.any():
        return None
    where = tuple(int(i) for i in np.argwhere(far)[0])
    place = f" at {list(where)}" if where else ""
    return f"{mine[where]:.6g}{place}; expected {theirs[where]:.6g}"


def is_numeric(value: Any) -> bool:
    r"""Whether it is a tensor, an array or a number."""
    return isinstance(value, torch.Tensor | np.ndarray | np.generic | int | float)


def as_array(value: Any) -> np.ndarray:
    r"""In float64, where whole numbers up to 2^53 and all of float32 are exact."""
    return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value).astype(np.float64)


def brief(value: Any) -> str:
    r"""A value as it can be read in one line: numbers as they are, arrays by kind and shape."""
    match value:
        case torch.Tensor():
            return f"{str(value.dtype).removeprefix('torch.')} tensor {tuple(value.shape)}"
        case np.ndarray():
            return f"{value.dtype} array {value.shape}"
        case tuple() | list():
            return f"[{', '.join(map(brief, value))}]"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "..."
