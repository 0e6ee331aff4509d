import pytest
import torch

from minidiffusion.diffusion import objective
from minidiffusion.diffusion.schedule import make_schedule

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


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_min_snr_counts_the_same_error_of_x_0_alike_for_every_kind(kind):
    # min-SNR weights |x_0 - x0_hat|^2 by min(SNR, 5), whatever the network predicts.
    snr = torch.tensor([0.01, 0.5, 4.9, 5.1, 100.0], dtype=torch.float64)
    error_of_x0 = {"x0": 1.0, "eps": 1 / snr, "v": 1 / (snr + 1)}[kind]  # squared error of x_0 for unit error of output
    weight = objective.weight("min_snr", kind, snr)
    torch.testing.assert_close(weight, snr.clamp(max=5.0) * error_of_x0)


def test_unknown_weightings_are_refused():
    with pytest.raises(ValueError, match="'simple' and 'min_snr'"):
        objective.weight("snr2", "v", torch.ones(1))


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
    with pytest.raises(ValueError, match="'uniform' and 'noisier'"):
        objective.draw_times("late", 1, 10, torch.Generator())
