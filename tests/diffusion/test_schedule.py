import pytest
import torch

from minidiffusion.diffusion.schedule import SCHEDULES, make_schedule


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [1, 10, 1000])
def test_index_0_is_clean_and_signal_only_falls(name, T):
    schedule = make_schedule(name, T)
    assert schedule.T == T
    assert schedule.alpha[0] == 1 and schedule.sigma[0] == 0
    assert (schedule.alpha.diff() < 0).all() and (schedule.sigma.diff() > 0).all()
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(T + 1, dtype=torch.float64))


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


@pytest.mark.parametrize("n", [1, 3, 7, 25, 999, 1000])
def test_trailing_times_start_at_T_end_at_0_and_never_repeat(n):
    times = make_schedule("cosine").times(n)
    assert len(times.t) == n + 1 and times.t[0] == 1000 and times.t[-1] == 0
    assert (times.t.diff() < 0).all()
    assert times.alpha[-1] == 1 and times.sigma[-1] == 0


def test_refusals_say_what_is_valid():
    with pytest.raises(ValueError, match="linear, scaled_linear, cosine"):
        make_schedule("square")
    with pytest.raises(ValueError, match="1 to 1000"):
        make_schedule().times(0)
    with pytest.raises(ValueError, match="1 to 1000"):
        make_schedule().times(1001)
