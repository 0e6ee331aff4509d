r"""Pictures to ids and back: the grid of FSQ against enumeration, and what a start and a gradient must do."""

import itertools
import math

import pytest
import torch

from minidiffusion.latent.vq import usage
from minidiffusion.tokens.codebook import FSQ, PictureTokenizer, PictureTokenizerConfig
from tests.shake import shake

LEVELS = [(8, 5, 5, 5), (2,), (3, 2, 4)]
VQ = PictureTokenizerConfig(codes=12, dim=4, channels=(16, 16))
GRID = PictureTokenizerConfig(codes=24, dim=3, levels=(3, 2, 4), channels=(16, 16))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def x():
    r"""Pictures of a few colours, a little noise on them."""
    colours = torch.rand(5, 3, generator=seeded()) * 2 - 1
    flat = colours[torch.randint(5, (24, 8, 8), generator=seeded(1))].movedim(-1, 1)
    return flat.repeat_interleave(8, 2).repeat_interleave(8, 3) + 0.05 * torch.randn(24, 3, 64, 64, generator=seeded(2))


@pytest.mark.parametrize("levels", LEVELS)
def test_the_grid_has_every_combination_of_levels_once_and_ids_go_there_and_back(levels):
    fsq, codes = FSQ(levels), math.prod(levels)
    points = fsq.lookup(torch.arange(codes))
    expected = itertools.product(*(torch.linspace(-1, 1, n).tolist() for n in reversed(levels)))
    torch.testing.assert_close(points, torch.tensor([point[::-1] for point in expected]))
    assert torch.equal(fsq.nearest(points.mul(1 - 1e-6).atanh()), torch.arange(codes))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("space", [(), (3, 2)])
def test_fsq_finds_the_nearest_point_and_its_gradient_goes_straight_through_the_rounding(levels, space):
    fsq = FSQ(levels)
    z = 2 * torch.randn(7, len(levels), *space, generator=seeded(), dtype=torch.float64)
    z.requires_grad_()
    z_q, ids, loss = fsq(z)
    points = fsq.lookup(torch.arange(math.prod(levels))).double()
    flat = z.detach().tanh().movedim(1, -1).reshape(-1, len(levels))
    nearest = (flat[:, None] - points).square().sum(dim=2).argmin(dim=1)
    assert torch.equal(ids.flatten(), nearest)
    assert torch.equal(z_q, fsq.lookup(ids).double()) and loss == 0
    z_q.sin().sum().backward()
    torch.testing.assert_close(z.grad, z_q.detach().cos() * (1 - z.detach().tanh() ** 2))


@pytest.mark.parametrize("config", [VQ, GRID], ids=["vq", "fsq"])
def test_ids_are_all_that_the_decoder_is_told(x, config):
    tokenizer = shake(PictureTokenizer(config))
    ids = tokenizer.encode(x)
    assert ids.shape == (24, 8, 8) and ids.max() < config.codes and len(ids.unique()) > 3
    x_hat, quantized = tokenizer(x)
    assert torch.equal(quantized.ids, ids)
    torch.testing.assert_close(tokenizer.decode(ids), x_hat, rtol=0, atol=0)


@pytest.mark.parametrize("config", [VQ, GRID], ids=["vq", "fsq"])
def test_the_error_of_the_picture_reaches_every_parameter_but_the_codes(x, config):
    tokenizer = shake(PictureTokenizer(config))
    x_hat, quantized = tokenizer(x)
    (x_hat - x).square().mean().backward(retain_graph=True)
    still = [name for name, p in tokenizer.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == (["quantizer.embedding.weight"] if config is VQ else [])
    if config is VQ:
        quantized.loss.backward()
        assert tokenizer.quantizer.embedding.weight.grad.any()


def test_a_start_uses_all_codes_and_leaves_little_to_learn(x):
    tokenizer = PictureTokenizer(VQ)
    tokenizer.start(x, seeded())
    error = (tokenizer(x)[0] - x).square().mean().item()
    assert error == pytest.approx(0.05**2, rel=0.03)  # five colours, and a codebook of twelve: only the noise is left
    assert usage(tokenizer.encode(x), 12) == 1
    latents = tokenizer.latent(x).movedim(1, -1).flatten(0, 2)
    ids = tokenizer.encode(x).flatten()
    for k in range(12):  # where k-means ends, each code is the mean of its own
        torch.testing.assert_close(
            tokenizer.quantizer.embedding.weight[k], latents[ids == k].mean(0), rtol=0, atol=0.02
        )


def test_fsq_starts_with_coordinates_that_fill_its_grid(x):
    tokenizer = PictureTokenizer(GRID)
    tokenizer.start(x)
    std = tokenizer.latent(x).movedim(1, -1).flatten(0, 2).std(dim=0)
    torch.testing.assert_close(std, torch.ones(3), rtol=0.01, atol=0)


def test_what_does_not_fit_is_refused(x):
    with pytest.raises(ValueError, match="each at least 2, got \\(3, 1\\)"):
        FSQ((3, 1))
    with pytest.raises(ValueError, match="got \\(\\)"):
        FSQ(())
    with pytest.raises(ValueError, match="4096 codes of 32 numbers, got 6 of 2"):
        PictureTokenizerConfig(levels=(3, 2))
    with pytest.raises(ValueError, match="must be divisible by 8, got 64 x 60"):
        PictureTokenizer(VQ).encode(x[..., :60])
