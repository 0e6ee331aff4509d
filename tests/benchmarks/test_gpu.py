r"""A GPU day without a GPU: every step is taken, with invented figures, in a process of its own that interprets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import attention, group_norm, plot
from benchmarks.harness import Row, read_csv

ROOT = Path(__file__).parents[2]


def gpu(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "benchmarks/gpu.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would start")
def test_without_a_card_it_says_so_in_one_sentence_and_fails():
    done = gpu()
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("make gpu needs a CUDA card, and PyTorch sees none") and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="a rehearsal interprets, and has to be without a card")
def test_the_rehearsal_takes_every_step(tmp_path):
    pytest.importorskip("triton")
    pytest.importorskip("diffusers")
    done = gpu("--rehearse", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "skipped" in done.stdout  # the tests that need a card, counted
    for question, backends in (
        ("attention", {"reference", "compile", "torch", "triton"}),
        ("group_norm", {"reference", "compile", "torch", "triton"}),
        ("unet", {"torch", "triton", "diffusers"}),
    ):
        rows = read_csv(tmp_path / f"{question}-cuda.csv")
        timed = [row for row in rows if row["metric"] == "time"]
        assert {row["backend"] for row in timed} == backends
        assert all("invented" in row["device"] for row in timed)
        assert {row["backend"] for row in rows if row["metric"] == "peak memory"} == backends
    assert (tmp_path / "kernels-cuda.png").stat().st_size > 10_000


def test_failing_tests_stop_everything(tmp_path, monkeypatch):
    from benchmarks.gpu import tested

    wrong = tmp_path / "test_wrong.py"
    wrong.write_text("def test_wrong(): assert False")
    with pytest.raises(SystemExit, match="nothing was timed"):
        tested("-p", "no:cacheprovider", str(wrong))


@pytest.mark.parametrize("device, lines", [("NVIDIA H100 80GB HBM3", [990, 3350] * 2), ("some other card", [])])
def test_the_plot_draws_the_limits_of_a_card_that_it_knows(device, lines, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plot.Axes, "axhline", lambda ax, y, **options: drawn.append(y))
    shapes = {"attention": (attention.SHAPES[0], "TFLOP/s"), "group_norm": (group_norm.SHAPES[0], "GB/s")}
    rows = [
        Row(question, {**shape.case, "pass": which}, "rate", 100.0, unit, 90, 110, backend, "float16", device)
        for question, (shape, unit) in shapes.items()
        for which in ("forward", "backward")
        for backend in plot.STYLES
    ]
    plot.plot(rows, tmp_path / "plot.png")
    assert drawn == lines and (tmp_path / "plot.png").stat().st_size > 10_000
