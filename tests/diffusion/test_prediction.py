import pytest
import torch

from minidiffusion.diffusion.prediction import denoiser, target, to_prediction
from minidiffusion.diffusion.schedule import make_schedule

KINDS = ("eps", "x0", "v")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [1, 2, 500, 998, 999])
def test_every_kind_gives_back_x_0_and_eps(kind, t):
    schedule = make_schedule("cosine")
    alpha, sigma = schedule.alpha[t], schedule.sigma[t]
    x_0, eps = torch.randn(2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
    x_t = alpha * x_0 + sigma * eps
    prediction = to_prediction(kind, target(kind, x_0, eps, alpha, sigma), x_t, alpha, sigma)
    torch.testing.assert_close(prediction.x0, x_0, rtol=0, atol=1e-10)
    torch.testing.assert_close(prediction.eps, eps, rtol=0, atol=1e-10)


def test_v_is_finite_where_there_is_no_signal_left():
    schedule = make_schedule("cosine")
    prediction = to_prediction("v", torch.ones(3), torch.zeros(3), schedule.alpha[-1], schedule.sigma[-1])
    assert torch.equal(prediction.x0, -torch.ones(3, dtype=torch.float64)) and prediction.eps.isfinite().all()


def test_the_network_counts_from_0_and_sees_one_time_a_sample():
    seen = []

    def network(x, t):
        seen.append(t)
        return torch.zeros_like(x)

    denoise = denoiser(network, make_schedule("cosine"), "v")
    denoise(torch.zeros(4, 2), torch.tensor(1000))
    denoise(torch.zeros(4, 2), torch.tensor(1))
    assert [t.tolist() for t in seen] == [[999] * 4, [0] * 4]


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="'eps', 'x0' and 'v'"):
        target("noise", torch.ones(1), torch.ones(1), torch.ones(1), torch.ones(1))
