r"""The benchmark of samplers, on few draws: do its figures say what they claim?"""

import pytest
import torch

from benchmarks import samplers
from minidiffusion.diffusion.schedule import make_schedule


def test_the_slopes_are_the_orders_of_the_methods():
    rows = list(samplers.order(calls=(64, 128, 256), draws=32, reference_steps=1000))
    slopes = samplers.slopes(rows)
    assert slopes["ddim"] == slopes["euler"] == pytest.approx(1, abs=0.15)
    assert slopes["heun"] == pytest.approx(2, abs=0.3)
    assert slopes["dpm++"] == pytest.approx(2, abs=0.3)
    assert slopes["plms"] > 1.75


def test_calls_are_counted_and_never_more_than_allowed():
    times = make_schedule("cosine").times
    assert samplers.steps_for("ddim", 10, times) == (10, 10)
    assert samplers.steps_for("heun", 10, times) == (6, 10)  # no slope at T, none at 0: Euler's step there
    assert samplers.steps_for("heun", 15, times) == (8, 14)
    assert samplers.steps_for("plms", 10, times) == (9, 10)
    assert samplers.steps_for("predictor-corrector", 10, times) == (5, 9)


def test_more_calls_bring_every_sampler_nearer_to_the_true_distribution():
    floor, *rows = samplers.law(calls=(4, 32), draws=2000, repeats=1)
    assert floor.low < floor.value < floor.high < 0.1
    found = {name: [row.value for row in rows if row.case["sampler"] == name] for name in samplers.DIFFERENT}
    for name, (few, many) in found.items():
        assert many < 0.6 * few, name
    assert found["dpm++"][1] < 2 * floor.value < found["dpm++"][0]


def test_the_sliced_distance_of_shifted_points_is_their_shift_seen_from_all_sides():
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = torch.tensor([0.3, 0.4])
    assert samplers.sliced_distance(x, x.flip(0)) == 0
    assert samplers.sliced_distance(x, x + shift) == pytest.approx(0.5 * 2 / torch.pi, rel=1e-2)


def test_the_plot_shows_what_was_measured(tmp_path):
    rows = list(samplers.order(calls=(64, 128), draws=4, reference_steps=200))
    rows += samplers.law(calls=(4, 8), draws=100, repeats=1)
    samplers.plot(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
