import pytest
import torch

from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.inpaint import inpaint, with_known_region
from minidiffusion.diffusion.sampler import SAMPLERS
from minidiffusion.diffusion.schedule import make_schedule


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 10])
def test_inpainting_draws_the_unknown_half_given_the_known(repeats):
    # One Gaussian with correlation 0.8: given x = 1, y ~ N(0.8, 0.36).
    schedule, n = make_schedule("cosine", 250), 4000
    covariance = torch.tensor([[[1.0, 0.8], [0.8, 1.0]]], dtype=torch.float64)
    denoise = ideal.mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), covariance, schedule)
    generator = torch.Generator().manual_seed(0)

    def noise(x):
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    known = torch.ones(n, 2, dtype=torch.float64)
    times, mask = schedule.times(250, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    *_, last = inpaint(denoise, noise(known), times, known, mask, repeats=repeats, noise=noise)
    assert (last.x[:, 0] == 1).all()
    y = last.x[:, 1]
    if repeats == 1:
        assert y.mean() < 0.6  # the two parts hardly talk to each other
    else:
        assert abs(y.mean() - 0.8) < 0.05 and abs(y.std() - 0.6) < 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_denoiser_that_knows_a_part_ends_there_with_any_sampler(sampler):
    schedule, n = make_schedule("cosine", 1000), 2000
    covariance = torch.tensor([[[1.0, 0.8], [0.8, 1.0]]], dtype=torch.float64)
    denoise = ideal.mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), covariance, schedule)
    generator = torch.Generator().manual_seed(0)

    def noise(x):
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    known = torch.tensor([[1.0, 99.0]], dtype=torch.float64).expand(n, 2)  # what is to be drawn is not looked at
    certain = with_known_region(denoise, schedule, known, torch.tensor([0.0, 1.0], dtype=torch.float64))
    *_, last = SAMPLERS[sampler](certain, noise(known), schedule.times(40, dtype=torch.float64), noise=noise)
    torch.testing.assert_close(last.x[:, 0], known[:, 0], rtol=0, atol=1e-12)
    assert 0.1 < last.x[:, 1].mean() < 0.9  # drawn toward what is known, as a mean of 0.8 would be, but not all the way


def test_a_mask_of_ones_changes_nothing():
    schedule = make_schedule("cosine", 100)
    denoise = ideal.mixture(
        *(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.eye(2)[None].double()), schedule
    )
    x, t = torch.ones(3, 2, dtype=torch.float64), torch.tensor(50)
    for got, expected in zip(
        with_known_region(denoise, schedule, 5 * x, torch.ones(2).double())(x, t), denoise(x, t), strict=True
    ):
        assert got is expected or torch.equal(got, expected)
