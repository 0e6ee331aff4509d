import math

import pytest
import torch

from minidiffusion.mcmc.diagnostics import ebfmi
from minidiffusion.mcmc.hamiltonian import DualAveraging, hmc, leapfrog
from minidiffusion.mcmc.metropolis import collect
from minidiffusion.mcmc.target import Funnel, correlated
from tests.mcmc.examples import Banana, DoubleWell

TARGETS = {"gaussian": correlated(3, 0.8), "banana": Banana(), "funnel": Funnel(d=4, width=1.0)}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def energy(target, x, p):
    return 0.5 * p.square().sum(dim=1) - target.log_prob(x)


# ------------------------------------------------------------------------------------------------ leapfrog


@pytest.mark.parametrize("name", TARGETS)
def test_leapfrog_is_reversible(name):
    target = TARGETS[name]
    x = target.sample(50, torch.Generator().manual_seed(0))
    p = random(*x.shape, seed=1)
    x_end, p_end, _ = leapfrog(target.score, x, p, 0.05, 20)
    x_back, p_back, _ = leapfrog(target.score, x_end, -p_end, 0.05, 20)
    torch.testing.assert_close(x_back, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(-p_back, p, rtol=0, atol=1e-10)
    assert (x_end - x).abs().max() > 0.5


@pytest.mark.parametrize("name", TARGETS)
def test_halving_the_step_quarters_the_error_of_the_energy(name):
    target = TARGETS[name]
    x = target.sample(200, torch.Generator().manual_seed(0))
    p = random(*x.shape, seed=1)
    errors = []
    for step, n in ((0.04, 20), (0.02, 40), (0.01, 80)):
        x_end, p_end, _ = leapfrog(target.score, x, p, step, n)
        errors.append((energy(target, x_end, p_end) - energy(target, x, p)).square().mean().sqrt())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("name", TARGETS)
def test_leapfrog_keeps_the_volume(name):
    target = TARGETS[name]
    x = target.sample(1, torch.Generator().manual_seed(0))
    state = torch.cat([x, random(*x.shape, seed=1)], dim=1)[0]

    def end(state):
        x, p = state[None].chunk(2, dim=1)
        return torch.cat(leapfrog(target.score, x, p, 0.2, 7)[:2], dim=1)[0]

    jacobian = torch.autograd.functional.jacobian(end, state)
    assert torch.linalg.det(jacobian) == pytest.approx(1, abs=1e-6)
    assert (jacobian - torch.eye(len(state))).abs().max() > 0.5


def test_leapfrog_on_a_parabola_by_hand():
    # One step from (1, 0) with score(x) = -x: p = -h/2, x = 1 - h^2/2, p = -h/2 - h/2 (1 - h^2/2).
    x, p, slope = leapfrog(lambda x: -x, torch.ones(1, 1).double(), torch.zeros(1, 1).double(), 0.2, 1)
    assert x.item() == pytest.approx(0.98, abs=1e-15)
    assert p.item() == pytest.approx(-0.1 - 0.1 * 0.98, abs=1e-15)
    assert slope.item() == -x.item()


# ------------------------------------------------------------------------------------------------ hmc


def test_a_trajectory_of_one_full_turn_goes_nowhere_and_jitter_helps():
    # On N(0, 1) leapfrog is a rotation by an angle with cos = 1 - step^2 / 2; ten of 36 degrees lead home.
    step, target, x = 2 * math.sin(math.pi / 10), correlated(1, 0.0), random(2000, 1)
    turn = collect(hmc(target, x, step=step, n=10, jitter=False, generator=torch.Generator().manual_seed(0)), 5)
    torch.testing.assert_close(turn.x, x.expand(5, 2000, 1), rtol=0, atol=1e-9)
    free = collect(hmc(target, x, step=step, n=10, generator=torch.Generator().manual_seed(0)), 20).x[-1]
    assert abs(torch.corrcoef(torch.cat([x, free], dim=1).T)[0, 1]) < 4 / math.sqrt(2000)


def test_the_number_of_steps_is_drawn_from_1_to_n():
    calls = []

    class Counting:
        def log_prob(self, x):
            return -0.5 * x.square().sum(dim=1)

        def score(self, x):
            calls.append(len(calls))
            return -x

    counts = []
    for _ in hmc(Counting(), random(2, 1), step=0.1, n=4, generator=torch.Generator().manual_seed(0)):
        counts.append(len(calls))
        if len(counts) == 400:
            break
    drawn = torch.tensor(counts).diff()
    assert drawn.unique().tolist() == [1, 2, 3, 4]
    assert torch.bincount(drawn)[1:].min() > 60  # 100 each, give or take 9


def test_the_step_is_found_in_the_warm_up_and_then_kept():
    for start, wanted in ((1e-3, 0.8), (5.0, 0.9)):
        generator = torch.Generator().manual_seed(0)
        states = hmc(
            correlated(20, 0.5), random(10, 20), step=start, n=5, warmup=400, acceptance=wanted, generator=generator
        )
        warm, draws = collect(states, 400), collect(states, 400)
        assert warm.step[0] == start and warm.step.unique().numel() > 300 and draws.step.unique().numel() == 1
        assert draws.accepted.double().mean() == pytest.approx(wanted, abs=0.04), (start, wanted)


def test_dual_averaging_by_hand():
    tuning = DualAveraging(0.1, 0.8, warmup=2)
    tuning.update(torch.tensor([0.4, 0.6]))  # m = 1: H = 0.3 / 11, log step = log 1 - 20 H, the average starts there
    first = -20 * 0.3 / 11
    assert tuning.step == pytest.approx(math.exp(first))
    tuning.update(torch.tensor([1.0, 1.0]))  # m = 2: H = 11/12 of that - 0.2 / 12
    second = -20 * math.sqrt(2) * (0.3 / 12 - 0.2 / 12)
    average = 2**-0.75 * second + (1 - 2**-0.75) * first
    assert tuning.step == pytest.approx(math.exp(average))
    tuning.update(torch.tensor([0.0, 0.0]))
    assert tuning.step == pytest.approx(math.exp(average))


def test_divergences_are_counted_where_the_step_is_too_wide_and_rejected():
    wide, narrow = (
        collect(hmc(DoubleWell(), random(200, 1), step=step, n=10, generator=torch.Generator().manual_seed(0)), 50)
        for step in (1.0, 0.1)
    )
    assert wide.divergent.double().mean() > 0.2 and not narrow.divergent.any()
    assert not (wide.divergent & wide.accepted).any()
    assert torch.isfinite(wide.x).all() and torch.isfinite(wide.energy).all()


def test_energy_is_that_of_the_state_and_the_pushes_reach_all_of_it():
    # On N(0, I) in d dimensions 2 H is chi-squared with 2 d degrees of freedom: H has mean d and variance d. A push
    # renews half of that, so the E-BFMI of long trajectories is 1.
    d, target = 50, correlated(50, 0.0)
    states = hmc(target, random(10, d), step=0.25, n=12, generator=torch.Generator().manual_seed(0))
    collect(states, 50)
    draws = collect(states, 1000)
    assert (draws.energy > -draws.log_prob - 1e-9).all()
    log_norm = 0.5 * d * math.log(2 * math.pi)
    assert draws.energy.mean() - log_norm == pytest.approx(d, abs=0.5)
    assert draws.energy.var() == pytest.approx(d, rel=0.1)
    torch.testing.assert_close(ebfmi(draws.energy), torch.ones(10, dtype=torch.float64), rtol=0, atol=0.15)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n": 0}, "n must be greater than 0, got 0"),
        ({"acceptance": 1.0}, "acceptance must be between 0 and 1, and warmup at least 0, got 1.0 and 0"),
        ({"warmup": -1}, "got 0.8 and -1"),
    ],
)
def test_wrong_arguments_are_told_what_is_valid(options, message):
    with pytest.raises(ValueError, match=message):
        next(hmc(correlated(2, 0.5), random(3, 2), step=0.1, **options))
