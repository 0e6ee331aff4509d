r"""The VAE against diffusers' AutoencoderKL and against closed forms."""

import pytest
import torch

from minidiffusion.latent.vae import AutoencoderKL, DiagonalGaussian, VAEConfig
from tests.shake import relative_error, shake

TINY = VAEConfig(
    latent_channels=4,
    channels=(16, 32, 32),
    layers_per_block=2,
    groups=8,
    patch=1,
    mid_attention=True,
    linear_path=False,
)


def theirs(config: VAEConfig):
    diffusers = pytest.importorskip("diffusers")
    levels = len(config.channels)
    return diffusers.AutoencoderKL(
        latent_channels=config.latent_channels,
        block_out_channels=config.channels,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.groups,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    )


@pytest.mark.filterwarnings("ignore")
def test_it_agrees_with_diffusers_strictly():
    reference = shake(theirs(TINY))
    ours = AutoencoderKL(TINY).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    x = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        q = ours.encode(x)
        assert relative_error(q.mean, reference.encode(x).latent_dist.mean) < 1e-6
        assert relative_error(q.logvar, reference.encode(x).latent_dist.logvar) < 1e-6
        assert relative_error(ours.decode(q.mean), reference.decode(q.mean).sample) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_stable_diffusion_1_5_has_its_own_names_shapes_and_count():
    with torch.device("meta"):
        ours, reference = AutoencoderKL(VAEConfig.stable_diffusion_1_5()), theirs(VAEConfig.stable_diffusion_1_5())
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in reference.state_dict().items()}
    assert sum(p.numel() for p in ours.parameters()) == 83_653_863


@pytest.mark.parametrize("config", [VAEConfig(), VAEConfig(channels=(16, 16, 32), patch=2), TINY])
def test_shapes(config):
    vae = AutoencoderKL(config)
    f = config.downsampling
    z = vae.encode(torch.zeros(1, 3, 64, 32)).mode()
    assert z.shape == (1, config.latent_channels, 64 // f, 32 // f)
    assert vae.decode(z).shape == (1, 3, 64, 32)
    with pytest.raises(ValueError, match=f"must be divisible by {f}, got 64 x {f + 1}"):
        vae.encode(torch.zeros(1, 3, 64, f + 1))


def test_the_linear_path_starts_at_principal_components():
    x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)).cumsum(3).cumsum(2) / 16
    vae = AutoencoderKL(VAEConfig()).eval()
    vae.start_linear_path(x)
    with torch.no_grad():
        x_hat = vae.decode(vae.encode(x).mode())
    patches = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(32, 192).double()
    mean = patches.mean(dim=0)
    _, s, vt = torch.linalg.svd(patches - mean, full_matrices=False)
    # One bias a channel stands in for the mean patch; what it misses outside the kept directions is lost as well.
    missed = mean - mean.reshape(3, 64).mean(dim=1, keepdim=True).expand(3, 64).flatten()
    missed = missed - vt[:16].T @ (vt[:16] @ missed)
    expected = s[16:].square().sum() / patches.numel() + missed.square().mean()
    torch.testing.assert_close((x - x_hat).double().square().mean(), expected, rtol=1e-4, atol=0)


def test_kl_is_that_of_torch():
    mean, logvar = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(DiagonalGaussian(mean, logvar).kl(), expected)


def test_samples_have_the_posteriors_mean_and_variance():
    n = 20_000
    q = DiagonalGaussian(torch.full((n, 1, 1, 1), 0.4), torch.full((n, 1, 1, 1), -1.0))
    z = q.sample(torch.Generator().manual_seed(0))
    var = torch.tensor(-1.0).exp()
    assert abs(z.mean() - 0.4) < 4 * (var / n).sqrt() and abs(z.var() - var) < 4 * var * (2 / n) ** 0.5


def test_the_gradient_passes_through_the_sample():
    mean, logvar = (torch.zeros(1, 1, 1, 1, requires_grad=True) for _ in range(2))
    DiagonalGaussian(mean, logvar).sample(torch.Generator().manual_seed(0)).backward()
    eps = torch.randn(1, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    assert mean.grad.item() == 1 and logvar.grad.item() == pytest.approx(eps.item() / 2)
