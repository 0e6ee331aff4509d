r"""The article's listing: each of its mistakes by its symptom, and the repair without it."""

import pytest
import torch
from torch import nn

from lessons import listing, listing_repaired
from minidiffusion.diffusion import objective
from minidiffusion.diffusion.prediction import to_prediction
from minidiffusion.diffusion.sampler import ddpm
from minidiffusion.diffusion.schedule import make_schedule


def pictures(n=256):
    """Random even surfaces of standard deviation 0.5: noise on them is easy to see."""
    torch.manual_seed(0)
    return 0.5 * torch.randn(n, 3, 1, 1).expand(n, 3, 8, 8)


def trained(module, steps=120):
    x = pictures()
    torch.manual_seed(1)
    model = module.DiffusionModel(1000)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = [module.train_step(model, optimizer, x[torch.randint(256, (32,))]) for _ in range(steps)]
    return model, torch.tensor(losses[-40:]).mean().item()


def test_asking_for_another_noise_teaches_the_network_to_answer_0():
    model, loss = trained(listing)
    with torch.no_grad():
        answers = model(pictures(), torch.randint(1000, (256,)))
    assert loss == pytest.approx(1, abs=0.03) and answers.square().mean() < 0.02
    _, repaired = trained(listing_repaired)
    assert repaired < 0.3


def test_the_printed_network_does_not_hear_the_time_and_the_repaired_one_does():
    x = torch.randn(2, 3, 8, 8)
    seen = []
    model = listing.DiffusionModel(1000)
    model.net.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    model.diffuse_step = lambda x, t, noise: x
    torch.testing.assert_close(model(x, torch.tensor([3, 3])), model(x, torch.tensor([900, 900])))
    assert seen[0][1] == 3  # nothing but the picture goes in
    model = listing_repaired.DiffusionModel(1000)
    assert (model(x, torch.tensor([3, 3])) - model(x, torch.tensor([900, 900]))).abs().max() > 0.01


class Perfect(nn.Module):
    """The best possible network for data that are N(0, 0.5^2) in every pixel; it counts the steps itself."""

    def __init__(self, alpha_bar):
        super().__init__()
        self.alpha_bar, self.t = alpha_bar, len(alpha_bar)

    def forward(self, x, t=None):
        self.t -= 1
        a = self.alpha_bar[self.t]
        return torch.sqrt(1 - a) * x[:, :3] / (0.25 * a + 1 - a)


def test_with_a_perfect_network_the_printed_sampler_is_twenty_times_too_wide():
    torch.manual_seed(0)
    printed, repaired = listing.DiffusionModel(1000), listing_repaired.DiffusionModel(1000)
    for model in (printed, repaired):
        model.net = Perfect(model.alpha_bar)
    with torch.no_grad():
        assert printed.sample(4, "cpu").std() == pytest.approx(11.1, rel=0.05)
    assert repaired.sample(4).std() == pytest.approx(0.5, rel=0.03)


def test_without_noise_every_sample_collapses_to_the_mean(monkeypatch):
    repaired = listing_repaired.DiffusionModel(1000)
    repaired.net = Perfect(repaired.alpha_bar)
    beginning = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: beginning)
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    assert repaired.sample(4).std() < 0.01


def test_tables_move_and_are_saved_as_buffers_only():
    printed, repaired = listing.DiffusionModel(1000), listing_repaired.DiffusionModel(1000)
    assert printed.to("meta").alpha_bar.device.type == "cpu"
    assert not {"beta", "alpha", "alpha_bar"} & set(printed.state_dict())
    assert {"beta", "alpha", "alpha_bar"} <= set(repaired.state_dict())
    assert repaired.to("meta").alpha_bar.device.type == "meta"


def test_few_steps_leave_signal_and_are_refused():
    assert listing.DiffusionModel(100).alpha_bar[-1] > 0.3
    with pytest.raises(ValueError, match=r"after 100 steps 36% of the signal's variance are left"):
        listing_repaired.DiffusionModel(100)
    assert listing_repaired.DiffusionModel(100, beta_end=0.2).alpha_bar[-1] < 0.01


def test_sampling_keeps_no_graph():
    printed, repaired = listing.DiffusionModel(1), listing_repaired.DiffusionModel(2, beta_end=0.999)
    assert printed.sample(1, "cpu").requires_grad
    assert not repaired.sample(1).requires_grad


def test_samples_have_the_size_that_was_asked_for():
    assert listing_repaired.DiffusionModel(2, beta_end=0.999).sample(3, size=16).shape == (3, 3, 16, 16)


def test_a_table_that_is_not_reshaped_is_silently_wrong_for_32_pictures_of_width_32():
    # The listing reshapes. This is what it would cost not to: each column would be noised by another picture's time.
    alpha_bar, x = listing.DiffusionModel(1000).alpha_bar, torch.ones(32, 3, 32, 32)
    t = torch.arange(32) * 30
    silent = alpha_bar[t].sqrt() * x
    assert silent.shape == x.shape and silent[0, 0, 0].std() > 0.1
    with pytest.raises(RuntimeError):
        alpha_bar[t[:16]].sqrt() * x[:16]


def test_the_repaired_listing_is_the_library_in_other_words(monkeypatch):
    # Its t counts from 0, ours from 1; given the same network and noise, loss and samples are the same.
    schedule, model = make_schedule("linear"), listing_repaired.DiffusionModel(1000)
    x_0, t = pictures(8), torch.randint(0, 1000, (8,))
    eps = torch.randn(x_0.shape)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: t)
    monkeypatch.setattr(torch, "randn_like", lambda _: eps)
    theirs = listing_repaired.train_step(model, torch.optim.SGD(model.parameters(), lr=0.0), x_0)
    ours = objective.loss(model, schedule, x_0, t + 1, eps, kind="eps").mean().item()
    assert theirs == pytest.approx(ours, rel=1e-4)

    x_T = torch.randn(2, 3, 8, 8)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: x_T)
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)

    def denoise(x, time):
        alpha, sigma = schedule.alpha[time].to(x), schedule.sigma[time].to(x)
        return to_prediction("eps", model(x, (time - 1).expand(len(x))), x, alpha, sigma)

    with torch.no_grad():
        *_, last = ddpm(denoise, x_T, schedule.times(1000), variance="beta", noise=torch.ones_like)
        torch.testing.assert_close(model.sample(2, size=8), last.x, rtol=1e-3, atol=1e-3)
