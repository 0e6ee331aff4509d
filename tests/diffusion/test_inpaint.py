import pytest
import torch

from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.inpaint import inpaint
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
