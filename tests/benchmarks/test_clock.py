r"""Contenders take turns, and a figure says how far it can be trusted."""

import time

import pytest
import torch

from benchmarks.clock import Cpu, Cuda, Rehearsal, race, spread


def test_contenders_run_in_turns_in_alternating_order():
    ran = []
    taken = race({name: lambda name=name: ran.append(name) for name in "ab"}, seconds=0, least=4, tick=0)
    assert ran[4:] == [*"abbaabba"]  # after warming up and estimating
    assert {name: len(times) for name, times in taken.items()} == {"a": 4, "b": 4}


def test_a_short_function_runs_many_times_and_a_long_one_once():
    calls = {"short": 0, "long": 0}

    def short():
        calls["short"] += 1

    def long():
        calls["long"] += 1
        time.sleep(0.01)

    taken = race({"short": short, "long": long}, seconds=0, least=2)
    assert calls["long"] == 4 and calls["short"] > 100
    assert min(taken["long"]) >= 0.01 and max(taken["short"]) < 0.001


def test_the_spread_of_101_numbers():
    assert spread([float(i) for i in range(101)]) == (50, 5, 95)
    assert Cpu().times({"f": lambda: time.sleep(0.02)})["f"].low >= 0.02


def test_do_bench_counts_milliseconds(monkeypatch):
    testing = pytest.importorskip("triton.testing")
    monkeypatch.setattr(testing, "do_bench", lambda f, quantiles: [1000 * q for q in quantiles])
    assert Cuda().times({"f": lambda: None}) == {"f": (0.5, 0.05, 0.95)}


def test_the_rehearsal_runs_everything_and_says_that_its_figures_are_invented():
    ran = []
    clock = Rehearsal()
    assert list(clock.times({"f": lambda: ran.append(1), "g": lambda: ran.append(2)})) == ["f", "g"]
    assert ran == [1, 2] and "invented" in clock.name and clock.dtypes == (torch.float16,)
