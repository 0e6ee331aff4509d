r"""Against arviz-stats, the ArviZ project's implementation, and against chains whose autocorrelation is known."""

import math

import pytest
import torch
from arviz_stats.base import array_stats as arviz

from minidiffusion.mcmc.diagnostics import (
    acceptance,
    autocorrelation,
    autocovariance,
    ebfmi,
    ess_bulk,
    ess_tail,
    mcse,
    rhat,
)


def ar1(n, c, rho, seed=0):
    r"""x_i = rho x_{i-1} + sqrt(1 - rho^2) z: variance 1, autocorrelation rho^lag, ESS n c (1 - rho) / (1 + rho)."""
    z = torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = [z[0]]
    for row in z[1:]:
        rows.append(rho * rows[-1] + math.sqrt(1 - rho**2) * row)
    return torch.stack(rows)


def cauchy(n, c):
    u = torch.rand(n, c, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.tan(math.pi * (u - 0.5))


HARD = {
    "independent": ar1(1000, 4, 0.0),
    "slow": ar1(1000, 4, 0.95),
    "antithetic": ar1(1000, 4, -0.6),
    "odd number of draws": ar1(501, 3, 0.5),
    "one chain moved": ar1(300, 4, 0.3) + torch.tensor([0.0, 0.0, 0.0, 5.0]),
    "one chain wider": ar1(300, 4, 0.3) * torch.tensor([1.0, 1.0, 1.0, 6.0]),
    "drifting": ar1(400, 2, 0.3) + torch.linspace(0, 3, 400)[:, None],
    "heavy tails": cauchy(1000, 4),
    "many ties, as after rejections": ar1(1000, 4, 0.5).mul(2).round(),
    "two values": (ar1(1000, 4, 0.5) > 2.0).double(),
    "one chain stands still": torch.cat([ar1(300, 3, 0.3), torch.full((300, 1), 0.7)], dim=1),
    **{f"{n} draws": ar1(n, 4, 0.5, seed=n) for n in (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20)},
}
FUNCTIONS = {
    "rhat": (rhat, lambda x: arviz.rhat(x)),
    "bulk": (ess_bulk, lambda x: arviz.ess(x, method="bulk")),
    "tail": (ess_tail, lambda x: arviz.ess(x, method="tail", prob=(0.05, 0.95))),
    "mcse": (mcse, lambda x: arviz.mcse(x, method="mean")),
}


# The last of these are nearly constant: no draw is above the 95 % quantile. See the test.
NOTHING_IN_THE_TAIL = {
    "two values": (ar1(1000, 4, 0.5) > 1.2).double(),
    "clamped": ar1(1000, 4, 0.5).clamp(max=1.0),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", HARD)
def test_rhat_ess_and_mcse_are_those_of_arviz(name, function):
    ours, theirs = FUNCTIONS[function]
    expected = float(theirs(HARD[name].T.numpy()))
    assert math.isfinite(expected)
    assert ours(HARD[name]).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", NOTHING_IN_THE_TAIL)
def test_the_one_difference_to_arviz_an_event_that_always_happens(name):
    r"""Of x <= 95 % quantile, if the quantile is the largest draw, arviz says that all n c draws are effective, and the
    tail's ESS is then that of the other side. Here it is NaN: a tail in which nothing happens tells nothing.
    """
    draws = NOTHING_IN_THE_TAIL[name]
    largest = draws.max()
    assert math.isnan(ess_tail(draws)) and math.isfinite(arviz.ess(draws.T.numpy(), method="tail", prob=(0.05, 0.95)))
    assert arviz.ess((draws <= largest).T.numpy(), method="mean") == draws.numel()
    for function in ("rhat", "bulk", "mcse"):
        ours, theirs = FUNCTIONS[function]
        assert ours(draws).item() == pytest.approx(float(theirs(draws.T.numpy())), rel=1e-6)


def test_rhat_of_a_single_chain_is_that_of_its_halves():
    # arviz wants two chains, and gives NaN for one; a single one can still be asked whether its halves agree.
    draws = HARD["drifting"][:, :1]
    assert math.isnan(arviz.rhat(draws.T.numpy()))
    halves = torch.cat([draws[:200], draws[200:]], dim=1)
    ranks = torch.tensor(arviz.compute_ranks(halves.flatten().numpy())).reshape(halves.shape)
    z = torch.special.ndtri((ranks - 3 / 8) / (400 + 1 / 4))
    assert rhat(draws).item() == pytest.approx(float(arviz.rhat(z.T.numpy(), method="identity")), rel=1e-6)


def test_autocorrelation_and_ebfmi_are_those_of_arviz():
    for draws in (HARD["slow"], HARD["odd number of draws"]):
        theirs = torch.tensor(arviz.autocorr(draws.T.numpy())).T
        torch.testing.assert_close(autocorrelation(draws), theirs, rtol=0, atol=1e-12)
        theirs = torch.tensor(arviz.bfmi(draws.T.numpy()))
        torch.testing.assert_close(ebfmi(draws), theirs, rtol=1e-9, atol=0)


def test_a_chain_that_stands_still_has_no_autocorrelation():
    draws = HARD["one chain stands still"]
    assert autocorrelation(draws).isnan().all(dim=0).tolist() == [False, False, False, True]


def test_autocovariance_by_hand():
    draws = torch.tensor([1.0, 2.0, 4.0, 1.0])[:, None]  # mean 2
    expected = torch.tensor([(1 + 0 + 4 + 1), (0 + 0 - 2), (-2 + 0), 1.0]) / 4
    torch.testing.assert_close(autocovariance(draws)[:, 0], expected)


# ------------------------------------------------------------------------------------------------ what is known


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.5])
def test_the_ess_of_an_autoregression_is_known(rho):
    draws = ar1(5000, 16, rho)
    exact = draws.numel() * (1 - rho) / (1 + rho)
    assert ess_bulk(draws).item() == pytest.approx(exact, rel=0.1)
    assert mcse(draws).item() == pytest.approx(1 / math.sqrt(exact), rel=0.1)
    lag = torch.arange(6)
    assert (autocorrelation(draws)[:6].mean(dim=1) - rho**lag).abs().max() < 0.03


def test_mcse_is_by_how_much_means_are_off():
    many = ar1(400, 4 * 500, 0.7).reshape(400, 500, 4).transpose(1, 2)  # 500 experiments of 4 chains
    z = many.mean(dim=(0, 1)) / mcse(many)
    assert abs(z.mean()) < 4 / math.sqrt(500)
    assert z.std().item() == pytest.approx(1, abs=0.12)


def test_rhat_finds_what_is_wrong_and_ranks_ignore_how_the_axis_is_drawn():
    assert rhat(HARD["independent"]) < 1.01 and rhat(HARD["heavy tails"]) < 1.01
    for name in ("one chain moved", "one chain wider", "drifting"):
        assert rhat(HARD[name]) > 1.1, name
    x = HARD["slow"]
    assert ess_bulk(x) == ess_bulk(x.exp()) and ess_tail(x) == ess_tail(x.exp())


def test_every_number_of_the_state_is_judged_alone():
    draws = torch.stack([HARD["independent"], HARD["slow"], HARD["antithetic"]], dim=-1).reshape(1000, 4, 3, 1)
    for function, _ in FUNCTIONS.values():
        alone = torch.stack([function(draws[..., i, 0]) for i in range(3)])
        torch.testing.assert_close(function(draws), alone[:, None])
        torch.testing.assert_close(function(draws.float()).squeeze(1), alone, rtol=1e-4, atol=0)


def test_nothing_is_known_of_nan_or_of_a_constant():
    draws = HARD["independent"].clone()
    draws[3, 1] = torch.nan
    for function, _ in FUNCTIONS.values():
        assert math.isnan(function(draws)) and math.isnan(function(torch.full((100, 4), 0.1)))
        with pytest.raises(ValueError, match="must have at least 4 draws, got 3"):
            function(draws[:3])


def test_acceptance_is_counted_for_each_chain():
    accepted = torch.tensor([[True, False], [True, True], [True, False], [True, False]])
    assert acceptance(accepted).tolist() == [1, 0.25]
