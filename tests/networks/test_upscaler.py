r"""The upscaler: what it is before it learns, and that it learns."""

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from minidiffusion.networks.upscaler import Upscaler, UpscalerConfig


def test_a_fresh_one_is_the_bicubic_interpolation():
    pixels = np.random.default_rng(0).random((8, 12)).astype(np.float32)
    x = torch.from_numpy(pixels).expand(1, 3, 8, 12)
    y = Upscaler(UpscalerConfig(8, 2))(x).detach()
    assert y.shape == (1, 3, 16, 24)
    torch.testing.assert_close(y, F.interpolate(x, scale_factor=2, mode="bicubic"))
    pillow = np.asarray(PIL.Image.fromarray(pixels).resize((24, 16), PIL.Image.Resampling.BICUBIC))
    # Pillow's curve is a little less steep (a = -0.5, torch: -0.75), and it treats the edge in its own way.
    assert np.abs(y[0, 0, 3:-3, 3:-3].numpy() - pillow[3:-3, 3:-3]).max() < 0.1


def test_it_sees_as_far_as_its_convolutions_reach_and_no_further():
    torch.manual_seed(0)
    network = Upscaler(UpscalerConfig(8, 2))
    torch.nn.init.normal_(network.conv_out.weight)
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    network(x)[0, :, 32, 32].sum().backward()
    seen = x.grad.abs().sum((0, 1)).nonzero()
    assert (seen - 16).abs().max() == 2 + 2 * 2  # conv_in, conv_out and two blocks of two


def test_it_learns_what_an_interpolation_cannot_know():
    r"""Pictures of hard squares: small ones average their edges, large ones do not."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)

    def batch(n):
        cells = (torch.rand(n, 1, 8, 8, generator=generator) < 0.5).float() * 2 - 1
        large = F.interpolate(cells, scale_factor=6, mode="nearest").expand(n, 3, 48, 48)[..., 3:43, 3:43]
        return F.avg_pool2d(large, 2), large

    network = Upscaler(UpscalerConfig(12, 2))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    x, large = batch(8)
    before = (network(x) - large).square().mean().item()
    for _ in range(60):
        x_i, large_i = batch(8)
        optimizer.zero_grad()
        (network(x_i) - large_i).square().mean().backward()
        optimizer.step()
    assert (network(x) - large).square().mean().item() < before / 4
