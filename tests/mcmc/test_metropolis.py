r"""The accept rule on chains so small that their transition matrix can be written down, and the walk itself."""

import math
from functools import partial
from itertools import islice

import pytest
import torch

from minidiffusion.mcmc.hamiltonian import hmc
from minidiffusion.mcmc.langevin import mala
from minidiffusion.mcmc.metropolis import (
    RandomWalk,
    State,
    accept,
    accept_probability,
    choose,
    collect,
    metropolis_hastings,
)
from minidiffusion.mcmc.target import correlated
from tests.mcmc.examples import DoubleWell, Independent, Multiplicative

SAMPLERS = {
    "metropolis": partial(metropolis_hastings, step=0.8),
    "mala": partial(mala, step=0.2),
    "hmc": partial(hmc, step=0.3, n=4),
}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------------------------ the accept rule


@pytest.mark.parametrize("k", [5, 6, 7])
def test_with_the_accept_rule_a_discrete_chain_leaves_its_distribution_alone(k):
    generator = torch.Generator().manual_seed(k)
    pi = torch.rand(k, generator=generator, dtype=torch.float64) + 0.05
    pi = pi / pi.sum()
    Q = torch.rand(k, k, generator=generator, dtype=torch.float64) ** 2
    Q[0, 1] = 0  # never proposed, though the way back is, which must then never be accepted
    Q[2, 3] = Q[3, 2] = 0
    Q = Q / Q.sum(dim=1, keepdim=True)
    assert (Q - Q.T).abs().max() > 0.1  # not symmetric

    log_p, log_q = (7 * pi).log().expand(k, k), Q.log()  # the constant 7 must not matter
    A = accept_probability(log_p, log_p.T, log_q.T, log_q)  # [i, j]: from i to j
    P = Q * A
    P = P + torch.diag(1 - P.sum(dim=1))

    assert (P >= 0).all()
    torch.testing.assert_close(pi @ P, pi, rtol=0, atol=1e-12)
    flow = pi[:, None] * P
    torch.testing.assert_close(flow, flow.T, rtol=0, atol=1e-12)
    # As many moves as possible: of each pair, one direction is always accepted.
    possible = (Q > 0) & (Q.T > 0)
    assert torch.maximum(A, A.T)[possible].min() > 1 - 1e-12
    assert A[1, 0] == A[2, 3] == 0


def test_the_accept_rule_by_hand():
    log = torch.tensor([0.5, 2.0, 1.0]).log()
    torch.testing.assert_close(accept_probability(log, torch.zeros(3)), torch.tensor([0.5, 1.0, 1.0]))
    there, back = torch.tensor([0.1]).log(), torch.tensor([0.2]).log()
    torch.testing.assert_close(accept_probability(log[:1], torch.zeros(1), back, there), torch.tensor([1.0]))
    torch.testing.assert_close(accept_probability(log[:1], torch.zeros(1), there, back), torch.tensor([0.25]))


def test_what_is_no_finite_number_is_never_accepted():
    bad = torch.tensor([torch.nan, -torch.inf, torch.inf])
    zero = torch.zeros(3)
    assert accept_probability(bad, zero).tolist() == [0, 0, 0]
    assert accept_probability(zero, zero, bad[:2].repeat(2)[:3], zero).tolist() == [0, 0, 0]
    assert accept_probability(torch.tensor([800.0]), torch.tensor([-800.0])).tolist() == [1]


def test_accept_and_choose():
    probability = torch.tensor([0.0, 0.3, 1.0]).repeat_interleave(10_000)
    share = accept(probability, torch.Generator().manual_seed(0)).reshape(3, -1).double().mean(dim=1)
    assert share[0] == 0 and share[2] == 1
    assert abs(share[1] - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 10_000)
    x = choose(torch.tensor([True, False]), torch.ones(2, 3, 4), torch.zeros(2, 3, 4))
    assert x.sum(dim=(1, 2)).tolist() == [12, 0]


# ------------------------------------------------------------------------------------------------ proposals


def test_log_q_is_the_density_of_draws():
    given = random(1, 2, seed=1).exp()
    to = random(50, 2, seed=2).exp()
    normal, log_normal = torch.distributions.Normal, torch.distributions.LogNormal
    theirs = log_normal(given.log(), 0.3).log_prob(to).sum(dim=1)
    ours = Multiplicative(0.3).log_q(to, given=given.expand(50, 2))
    torch.testing.assert_close(ours - ours[0], theirs - theirs[0])  # up to a constant
    mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
    theirs = normal(mean, 1.7).log_prob(to).sum(dim=1)
    ours = Independent(mean, 1.7).log_q(to, given=given.expand(50, 2))
    torch.testing.assert_close(ours - ours[0], theirs - theirs[0])
    assert (RandomWalk(0.5).log_q(to, given=given.expand(50, 2)) == RandomWalk(0.5).log_q(to.flip(0), given=to)).all()


def test_draws_are_those_of_log_q():
    n, x = 40_000, torch.full((40_000, 1), 2.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for z in (
        (Multiplicative(0.3).draw(x, generator) / x).log() / 0.3,
        (RandomWalk(0.7).draw(x, generator) - x) / 0.7,
        (Independent(-1.0, 1.5).draw(x, generator) + 1.0) / 1.5,
    ):
        assert abs(z.mean()) < 4 / math.sqrt(n) and abs(z.std() - 1) < 4 / math.sqrt(2 * n)


# ------------------------------------------------------------------------------------------------ all samplers


class Box:
    r"""Even on -1 < x < 1; -inf to the left and NaN to the right of it, and so is the score."""

    def log_prob(self, x):
        x = x[:, 0]
        return torch.where(x < -1, -torch.inf, torch.where(x > 1, torch.nan, 0.0 * x))

    def score(self, x):
        return torch.where(x.abs() > 1, torch.nan, 0.0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_nan_and_minus_infinity_are_rejected_and_poison_nothing(name):
    n = 20_000
    generator = torch.Generator().manual_seed(0)
    start = 2 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 1
    draws = collect(SAMPLERS[name](Box(), start, generator=generator), 20)
    assert draws.x.abs().max() <= 1 and (draws.log_prob == 0).all()
    assert 0.2 < draws.accepted.double().mean() < 0.95  # the walls were met, and not for ever
    assert abs(draws.x[-1].mean()) < 4 / math.sqrt(3 * n)
    assert draws.x[-1].square().mean() == pytest.approx(1 / 3, abs=4 * math.sqrt(4 / 45 / n))  # of an even density


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_generator_gives_the_same_draws_and_log_prob_is_that_of_x(name):
    target, start = correlated(3, 0.5), random(4, 3)
    a, b, other = (
        collect(SAMPLERS[name](target, start, generator=torch.Generator().manual_seed(seed)), 10) for seed in (1, 1, 2)
    )
    assert torch.equal(a.x, b.x) and not torch.equal(a.x, other.x)
    for x, log_p in zip(a.x, a.log_prob, strict=True):
        torch.testing.assert_close(target.log_prob(x), log_p)
    moved = (a.x.diff(dim=0, prepend=start[None]) != 0).any(dim=-1)
    assert torch.equal(moved, a.accepted)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_start_with_gradients_leaves_no_history_behind(name):
    draws = collect(SAMPLERS[name](correlated(2, 0.5), random(3, 2).requires_grad_()), 2)
    assert not draws.x.requires_grad and not draws.log_prob.requires_grad


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 2, 3, 4)])
@pytest.mark.parametrize("name", SAMPLERS)
def test_states_may_have_any_shape(name, shape):
    states = SAMPLERS[name](DoubleWell(), random(*shape), step=0.02, generator=torch.Generator().manual_seed(0))
    draws = collect(states, 7)
    assert draws.x.shape == (7, *shape) and draws.log_prob.shape == draws.accepted.shape == (7, 5)
    assert draws.accepted.any() and torch.isfinite(draws.x).all()


class Counting:
    def __init__(self, target):
        self.target, self.log_probs, self.scores = target, 0, 0

    def log_prob(self, x):
        self.log_probs += 1
        return self.target.log_prob(x)

    def score(self, x):
        self.scores += 1
        return self.target.score(x)


@pytest.mark.parametrize("name, scores", [("metropolis", 0), ("mala", 11), ("hmc", 41)])
def test_nothing_known_is_computed_again(name, scores):
    target = Counting(correlated(2, 0.5))
    options = {"jitter": False} if name == "hmc" else {}
    collect(SAMPLERS[name](target, random(3, 2), generator=torch.Generator().manual_seed(0), **options), 10)
    assert (target.log_probs, target.scores) == (11, scores)  # once at the start, then for each transition


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    "x, step, message",
    [
        (torch.zeros(3, 2, dtype=torch.float64), 0.0, "step must be greater than 0, got 0.0"),
        (torch.zeros(3, 2, dtype=torch.float64), -1.0, "step must be greater than 0, got -1.0"),
        (torch.zeros(3, 2, dtype=torch.float64), math.nan, "step must be greater than 0, got nan"),
        (torch.zeros((), dtype=torch.float64), 0.1, r"x must be \(chains, ...\) of .*, got \(\) of torch.float64"),
        (torch.zeros(3, 2, dtype=torch.int64), 0.1, r"of floating-point numbers, got \(3, 2\) of torch.int64"),
        (torch.zeros(3, 5, dtype=torch.float64), 0.1, r"x must have the shape \(chains, 2\), got \(3, 5\)"),
        (torch.tensor([[0.0, 0.0], [torch.nan, 0.0]]).double(), 0.1, r"must be finite where chains start, .* \[1\]"),
    ],
)
def test_wrong_arguments_are_told_what_is_valid(name, x, step, message):
    with pytest.raises(ValueError, match=message):
        next(SAMPLERS[name](correlated(2, 0.5), x, step=step))


def test_metropolis_needs_a_step_or_a_proposal():
    for options in ({}, {"step": 0.1, "proposal": RandomWalk(0.1)}):
        with pytest.raises(ValueError, match="a step or a proposal, and not both"):
            next(metropolis_hastings(correlated(2, 0.5), random(3, 2), **options))


def test_collect_goes_on_where_it_stopped_and_says_if_there_is_no_more():
    def states():
        return metropolis_hastings(
            correlated(2, 0.5), random(3, 2), step=0.5, generator=torch.Generator().manual_seed(0)
        )

    whole, parts = collect(states(), 10), states()
    torch.testing.assert_close(torch.cat([collect(parts, 4).x, collect(parts, 6).x]), whole.x, rtol=0, atol=0)
    torch.testing.assert_close(collect(islice(states(), 1, None, 2), 5).x, whole.x[1::2], rtol=0, atol=0)
    with pytest.raises(ValueError, match="ended after 4 states, before 10"):
        collect(islice(states(), 4), 10)
    with pytest.raises(ValueError, match="n must be greater than 0, got 0"):
        collect(states(), 0)


def test_collect_stacks_what_there_is(capfd):
    rows = [State(torch.zeros(3), step=torch.tensor(0.5)), State(torch.ones(3), step=torch.tensor(0.25))]
    draws = collect(iter(rows), 2, progress=True)
    assert draws.x.shape == (2, 3) and draws.step.tolist() == [0.5, 0.25] and draws.log_prob is None
    assert "sampling" in capfd.readouterr().err
