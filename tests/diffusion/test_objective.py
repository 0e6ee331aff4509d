import math

import pytest
import torch

from minidiffusion.diffusion import bound, forward, objective
from minidiffusion.diffusion.prediction import PREDICTION_TYPES, convert
from minidiffusion.diffusion.schedule import make_schedule
from tests.unchecked import unchecked

SCHEDULE = make_schedule("linear")


def batch(n=4096):
    generator = torch.Generator().manual_seed(0)
    x_0 = torch.randn(n, 8, generator=generator)
    t = torch.randint(1, 1001, (n,), generator=generator)
    return x_0, t, torch.randn(n, 8, generator=generator)


def test_an_answer_of_zero_costs_the_variance_of_the_noise():
    losses = objective.loss(lambda x, t: torch.zeros_like(x), SCHEDULE, *batch(), kind="eps")
    assert losses.mean() == pytest.approx(1.0, abs=0.03)


def test_the_noise_asked_for_is_the_noise_added():
    # A network that knows x_0 can solve x_t = alpha x_0 + sigma eps for eps; its loss is 0 only for *that* eps.
    x_0, t, eps = batch()

    def oracle(x_t, times):
        alpha, sigma = SCHEDULE.alpha[times + 1, None], SCHEDULE.sigma[times + 1, None]
        return ((x_t - alpha * x_0) / sigma).float()

    assert objective.loss(oracle, SCHEDULE, x_0, t, eps, kind="eps").max() < 1e-6


# ------------------------------------------------------------------------------------------------ weights


def losses_of(kind, weighting, name="cosine"):
    """The losses of one and the same wrong belief, told as an answer of that kind, at times 1..999."""
    schedule, generator = make_schedule(name), torch.Generator().manual_seed(0)
    x_0, eps, wrong = torch.randn(3, 999, 8, dtype=torch.float64, generator=generator)
    t = torch.arange(1, 1000)
    x_t = forward.sample(schedule, x_0, t, eps)
    alpha, sigma = schedule.alpha[t, None], schedule.sigma[t, None]
    answer = convert("x0", kind, x_0 + wrong, x_t, alpha, sigma)
    return objective.loss(lambda *_: answer, schedule, x_0, t, eps, kind, weighting), schedule, t


def test_the_simple_losses_are_one_loss_in_other_units():
    of = {kind: losses_of(kind, "simple")[0] for kind in PREDICTION_TYPES}
    _, schedule, t = losses_of("x0", "simple")
    snr = schedule.snr[t]
    torch.testing.assert_close(of["eps"], snr * of["x0"], rtol=1e-6, atol=0)
    torch.testing.assert_close(of["eps"], snr / (1 + snr) * of["v"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["cosine", "flow", "karras"])
@pytest.mark.parametrize("weighting", ["snr", "min_snr", "vlb"])
@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_a_weighting_means_the_same_for_every_kind(kind, weighting, name):
    expected = losses_of("x0", weighting, name)[0]
    torch.testing.assert_close(losses_of(kind, weighting, name)[0], expected, rtol=1e-6, atol=0)


def test_weights_by_hand():
    schedule = make_schedule("linear")
    t = torch.tensor([1, 200, 600, 1000])
    snr, beta = schedule.snr[t], schedule.beta[t - 1]
    alpha_bar = schedule.alpha[t] ** 2

    def weight(*args):
        return objective.weight(*args, schedule, t)

    torch.testing.assert_close(weight("snr", "eps"), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(weight("min_snr", "x0"), snr.clamp(max=5.0))
    torch.testing.assert_close(weight("min_snr", "eps"), snr.clamp(max=5.0) / snr)
    torch.testing.assert_close(weight("min_snr", "v"), snr.clamp(max=5.0) / (snr + 1))
    # Ho et al. 2020, eq. 12: beta^2 / (2 sigma^2 (1 - beta) (1 - alpha_bar)) with sigma^2 = beta.
    torch.testing.assert_close(weight("vlb", "eps"), beta / (2 * (1 - beta) * (1 - alpha_bar)))


def test_unknown_weightings_are_refused():
    schedule, t = make_schedule("linear"), torch.ones(1).long()
    with pytest.raises(ValueError, match="must be one of simple, snr, min_snr, vlb, got 'snr2'"):
        unchecked(objective.weight)("snr2", "v", schedule, t)
    with pytest.raises(ValueError, match="must be one of eps, x0, v, score, velocity, got 'noise'"):
        unchecked(objective.squared_error)("noise", schedule.alpha, schedule.sigma)


# ------------------------------------------------------------------------------------------------ hybrid


def test_the_hybrid_loss_is_the_simple_one_and_a_share_of_the_bound():
    # Given each time once, the mean of T * term over t is the sum of all terms.
    schedule, share = make_schedule("cosine", 20), 0.25
    generator = torch.Generator().manual_seed(0)
    x_0, eps, answer, width = torch.randn(4, 20, 3, 2, dtype=torch.float64, generator=generator)
    t, width = torch.arange(1, 21), width.tanh()
    network = lambda *_: torch.cat([answer, width], dim=1)  # noqa: E731
    got = objective.hybrid(network, schedule, x_0, t, eps, "v", share=share)
    simple = objective.loss(lambda *_: answer, schedule, x_0, t, eps, "v")
    alpha, sigma = schedule.alpha[t, None, None], schedule.sigma[t, None, None]
    x_t = alpha * x_0 + sigma * eps
    beta, earlier = schedule.beta[t - 1, None, None], schedule.sigma[t - 1, None, None]
    tilde = beta * (earlier / sigma) ** 2
    tilde[0] = tilde[1]
    var = torch.exp(beta.log() * (1 + width) / 2 + tilde.log() * (1 - width) / 2)
    terms = bound.step_term(schedule, x_0, x_t, t, alpha * x_t - sigma * answer, var)
    torch.testing.assert_close(got - simple, share * 20 * terms / (6 * math.log(2)))


def test_the_bound_moves_the_variance_only():
    schedule, generator = make_schedule("cosine", 20), torch.Generator().manual_seed(0)
    x_0, eps, output = (torch.randn(20, c, 2, dtype=torch.float64, generator=generator) for c in (3, 3, 6))
    output.requires_grad_()
    t = torch.arange(1, 21)
    (both,) = torch.autograd.grad(objective.hybrid(lambda *_: output, schedule, x_0, t, eps).sum(), output)
    simple = objective.loss(lambda *_: output[:, :3], schedule, x_0, t, eps, "v").sum()
    (alone,) = torch.autograd.grad(simple, output)
    torch.testing.assert_close(both[:, :3], alone[:, :3])
    assert both[:, 3:].abs().min() > 0


# ------------------------------------------------------------------------------------------------ times


@pytest.mark.parametrize("T", [1, 7, 1000])
@pytest.mark.parametrize("name", ["uniform", "noisier"])
def test_times_are_between_1_and_T(name, T):
    t = objective.draw_times(name, 100_000, T, torch.Generator().manual_seed(0))
    assert t.min() >= 1 and t.max() <= T and t.dtype == torch.int64
    assert len(t.unique()) == T or (name == "noisier" and len(t.unique()) > 0.9 * T)  # both ends are rare


def test_times_are_spread_as_promised():
    names, generator = ("uniform", "noisier"), torch.Generator().manual_seed(0)
    u = {name: objective.draw_times(name, 200_000, 1000, generator) / 1000 for name in names}
    quantiles = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(u["uniform"].quantile(quantiles), quantiles, rtol=0, atol=0.005)
    z = torch.special.ndtri(quantiles)
    torch.testing.assert_close(u["noisier"].quantile(quantiles), (0.8 + 1.2 * z).sigmoid(), rtol=0, atol=0.005)
    assert ((u["noisier"] > 0.75) & (u["noisier"] < 0.97)).float().mean() > 0.35  # uniform: 0.22


def test_unknown_times_are_refused():
    with pytest.raises(ValueError, match="must be one of uniform, noisier, got 'late'"):
        unchecked(objective.draw_times)("late", 1, 10, torch.Generator())
