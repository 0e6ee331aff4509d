import math

import pytest
import torch

from minidiffusion.clip.contrastive import clamp_temperature, info_nce, symmetric_cross_entropy
from minidiffusion.clip.encoder import CLIP
from tests.clip.test_encoder import TINY


def test_symmetric_cross_entropy_is_info_nce_both_ways():
    logits = torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 5
    torch.testing.assert_close(symmetric_cross_entropy(logits), (info_nce(logits) + info_nce(logits.T)) / 2)


def test_knowing_nothing_costs_log_b_and_knowing_all_costs_nothing():
    assert symmetric_cross_entropy(torch.zeros(32, 32)).item() == pytest.approx(math.log(32))
    assert symmetric_cross_entropy(100 * torch.eye(32)).item() == pytest.approx(0, abs=1e-6)


def test_hand_value():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
    assert info_nce(logits).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_the_temperature_is_clamped_and_its_gradient_lives():
    clip = CLIP(TINY)
    with torch.no_grad():
        clip.logit_scale.fill_(7.0)
    clamp_temperature(clip)
    assert clip.logit_scale.exp().item() == pytest.approx(100)
    symmetric_cross_entropy(clip(torch.randn(2, 3, 32, 32), torch.tensor([[97, 5, 98], [97, 6, 98]]))).backward()
    assert clip.logit_scale.grad.abs() > 0
