import math
from typing import get_args

import pytest
import torch

from minidiffusion.diffusion.schedule import SCHEDULES, Schedule, ScheduleName, make_schedule
from tests.unchecked import unchecked

VARIANCE_PRESERVING = ["linear", "scaled_linear", "cosine", "sigmoid"]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [1, 10, 1000])
def test_index_0_is_clean_and_signal_only_falls(name, T):
    schedule = make_schedule(name, T)
    assert schedule.T == T
    assert schedule.alpha[0] == 1 and schedule.sigma[0] == 0
    assert (schedule.snr.diff() < 0).all() and (schedule.sigma.diff() > 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_family_keeps_its_promise(name):
    schedule = make_schedule(name)
    alpha, sigma = schedule.alpha, schedule.sigma
    kept = alpha if name == "karras" else alpha + sigma if name == "flow" else alpha**2 + sigma**2
    torch.testing.assert_close(kept, torch.ones(1001, dtype=torch.float64), rtol=0, atol=1e-12)
    assert schedule.std_T == pytest.approx(math.sqrt(1 + 80**2) if name == "karras" else 1, rel=1e-12)


@pytest.mark.parametrize("name", VARIANCE_PRESERVING)
def test_beta_is_the_article_s(name):
    schedule = make_schedule(name)
    alpha_bar = schedule.alpha**2
    torch.testing.assert_close(schedule.beta, 1 - alpha_bar[1:] / alpha_bar[:-1], rtol=0, atol=1e-12)


def test_stable_diffusion_never_sees_pure_noise():
    assert make_schedule("scaled_linear").alpha[-1] == pytest.approx(0.0683, abs=1e-4)


def test_karras_by_hand():
    schedule = make_schedule("karras", 3)
    middle = ((0.002 ** (1 / 7) + 80 ** (1 / 7)) / 2) ** 7
    assert schedule.sigma.tolist() == pytest.approx([0, 0.002, middle, 80])


@pytest.mark.parametrize("T", [100, 1000])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_it_ends_in_noise_for_any_number_of_steps(name, T):
    # The article's listing keeps beta fixed while n_steps is free: with 100 steps a third of the signal survives.
    assert make_schedule(name, T).alpha[-1] ** 2 < 1e-4


def test_hand_values():
    schedule = make_schedule("linear", 1000)
    torch.testing.assert_close(schedule.beta[[0, -1]], torch.tensor([1e-4, 0.02], dtype=torch.float64))
    assert make_schedule("cosine", 1000).alpha[-1] == 0
    # Nichol & Dhariwal, eq. 17 at t = T/2: cos^2(0.508/1.008 pi/2) / cos^2(0.008/1.008 pi/2)
    assert make_schedule("cosine", 1000).alpha[500] ** 2 == pytest.approx(0.4938436, abs=1e-6)


@pytest.mark.parametrize("name, diffusers_name", [("linear", "linear"), ("scaled_linear", "scaled_linear")])
def test_tables_are_those_of_diffusers(name, diffusers_name):
    diffusers = pytest.importorskip("diffusers")
    limits = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012)}[name]
    theirs = diffusers.DDPMScheduler(1000, *limits, beta_schedule=diffusers_name).alphas_cumprod
    ours = make_schedule(name).alpha[1:].square().float()
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=0)  # theirs is a product of 1000 float32


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy, inside diffusers
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_times_are_those_of_diffusers(spacing):
    # Their network counts from 0, so their t is ours - 1, and they leave out the 0 at the end. Two differences: their
    # accumulated floating point decides a tie otherwise (n = 48: 937.5), and their single step of linspace starts at 0.
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDIMScheduler(1000, timestep_spacing=spacing)
    for n in [*range(1, 51), 999, 1000]:
        theirs.set_timesteps(n)
        ours = make_schedule().times(n, spacing).t[:-1] - 1
        tie = spacing == "trailing" and (1000 * torch.arange(n) / n) % 1 == 0.5
        same = (ours == theirs.timesteps) | tie & ((ours - theirs.timesteps).abs() == 1)
        assert same.all() or (spacing, n) == ("linspace", 1), n


@pytest.mark.parametrize("n", [1, 3, 7, 25, 999, 1000])
def test_trailing_times_start_at_T_end_at_0_and_never_repeat(n):
    times = make_schedule("cosine").times(n)
    assert len(times.t) == n + 1 and times.t[0] == 1000 and times.t[-1] == 0
    assert (times.t.diff() < 0).all()
    assert times.alpha[-1] == 1 and times.sigma[-1] == 0


def test_the_names_in_the_annotation_are_those_of_the_table():
    assert get_args(ScheduleName) == tuple(SCHEDULES)


def test_refusals_say_what_is_valid():
    with pytest.raises(ValueError, match="one of linear, scaled_linear, cosine, sigmoid, flow, karras, got 'square'"):
        unchecked(make_schedule)("square")
    for n in (0, 1001):
        with pytest.raises(ValueError, match=f"the number of steps must be between 1 and 1000, got {n}"):
            make_schedule().times(n)
    with pytest.raises(ValueError, match="must be one of trailing, leading, linspace, got 'even'"):
        unchecked(Schedule.times)(make_schedule(), 10, "even")
    with pytest.raises(ValueError, match="T must be at least 1, got 0"):
        make_schedule("flow", 0)
