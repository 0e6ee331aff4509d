r"""Text to picture by a walk in latent space: is the density the one that was promised, and does the walk climb?"""

import pytest
import torch

from minidiffusion.mcmc.langevin import mala
from minidiffusion.mcmc.metropolis import collect
from minidiffusion.mcmc.target import score
from minidiffusion.pipelines.latent_mcmc import LatentPrior, PromptDensity
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def target():
    torch.manual_seed(0)
    model = tiny_model()
    latents = 0.5 + torch.randn(200, *shape_of(model)) @ torch.diag(torch.linspace(0.5, 2, shape_of(model)[-1]))
    return PromptDensity(model, LatentPrior.fit(latents), "a red house", strength=50.0)


def shape_of(model):
    side = model.size // model.vae.config.downsampling
    return model.vae.config.latent_channels, side, side


def test_the_prior_has_the_mean_and_covariance_of_the_latents():
    latents = torch.randn(500, 2, 2, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0]) + 1
    prior = LatentPrior.fit(latents, ridge=0.0)
    u = torch.randn(200_000, 8, generator=torch.Generator().manual_seed(1))
    z = prior.latents(u)
    assert z.shape[1:] == (2, 2, 2)
    torch.testing.assert_close(z.mean(0), latents.mean(0), rtol=0, atol=0.04)
    torch.testing.assert_close(torch.cov(z.flatten(1).T), torch.cov(latents.flatten(1).T), rtol=0.02, atol=0.08)


def test_fewer_latents_than_dimensions_are_enough_with_a_ridge():
    prior = LatentPrior.fit(torch.randn(5, 4, 2, 2, generator=torch.Generator().manual_seed(0)))
    assert prior.root.isfinite().all() and prior.root.diagonal().min() >= 0.09


def test_without_strength_it_is_the_gaussian_alone(target):
    u = torch.randn(3, len(target.prior.mean), generator=torch.Generator().manual_seed(0))
    indifferent = PromptDensity(target.model, target.prior, "a red house", strength=0.0)
    torch.testing.assert_close(indifferent.log_prob(u), -0.5 * u.square().sum(1))
    gain = target.log_prob(u) - indifferent.log_prob(u)
    torch.testing.assert_close(gain, 50 * target.similarity(target.pictures(u)), rtol=1e-4, atol=1e-4)


def test_the_score_is_the_slope_of_the_log_density(target):
    generator = torch.Generator().manual_seed(0)
    u, direction = torch.randn(2, 1, len(target.prior.mean), generator=generator)
    direction, h = direction / direction.norm(), 1e-2
    with torch.no_grad():
        slope = (target.log_prob(u + h * direction) - target.log_prob(u - h * direction)) / (2 * h)
    assert (score(target, u) * direction).sum().item() == pytest.approx(slope.item(), rel=0.02, abs=0.02)


def test_every_walk_comes_to_where_clip_agrees_more(target):
    generator = torch.Generator().manual_seed(0)
    eager = PromptDensity(target.model, target.prior, "a red house", strength=3000.0)
    u = torch.randn(8, len(eager.prior.mean), generator=generator)
    walk = collect(mala(eager, u, step=0.01, warmup=50, generator=generator), 100)
    with torch.no_grad():
        before, after = (eager.similarity(eager.pictures(x)) for x in (u, walk.x[-1]))
    assert (after > before).all()
    assert walk.accepted[50:].double().mean() > 0.3


def test_the_best_of_many_is_the_best(target):
    best = target.best_of(40, torch.Generator().manual_seed(3))
    everyone = torch.randn(40, len(target.prior.mean), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        similarities = target.similarity(target.pictures(everyone))
        assert target.similarity(target.pictures(best)).item() == pytest.approx(similarities.max().item(), abs=1e-5)
