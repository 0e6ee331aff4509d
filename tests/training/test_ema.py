import copy

import pytest
import torch
from torch import nn

from minidiffusion.training.ema import EMA


def test_average_of_known_weights_has_the_closed_form():
    model = nn.Linear(1, 1, bias=False).double()
    ema = EMA(model, decay=0.99)
    start = model.weight.item()
    weights = [0.3, -1.7, 2.5, 4.0, -0.2]
    for step, weight in enumerate(weights):
        with torch.no_grad():
            model.weight.fill_(weight)
        ema.update(model, step)
    # All five steps are in the warm-up, where d_k = (1+k)/(10+k); unrolled, weight i keeps (1-d_i) prod_{j>i} d_j.
    d = [(1 + k) / (10 + k) for k in range(5)]
    expected = start * d[0] * d[1] * d[2] * d[3] * d[4]
    for i, weight in enumerate(weights):
        share = 1 - d[i]
        for j in range(i + 1, 5):
            share *= d[j]
        expected += share * weight
    assert ema.model.weight.item() == pytest.approx(expected, rel=1e-14)


def test_constant_decay_is_a_geometric_sum():
    model = nn.Linear(1, 1, bias=False).double()
    ema = EMA(model, decay=0.5)
    with torch.no_grad():
        ema.model.weight.fill_(8.0)
        model.weight.fill_(0.0)
    for step in range(100, 103):  # (1+100)/(10+100) = 0.92 > 0.5: the warm-up is over
        ema.update(model, step)
    assert ema.model.weight.item() == 1.0


def test_decay_warms_up_to_its_value():
    ema = EMA(nn.Linear(1, 1), decay=0.9)
    assert [ema.decay_at(k) for k in (0, 8, 80, 10_000)] == [0.1, 0.5, 0.9, 0.9]


def test_zero_decay_is_a_copy_to_the_bit():
    torch.manual_seed(0)
    model = nn.Linear(50, 50)
    ema = EMA(model, decay=0.0)
    with torch.no_grad():
        model.weight.normal_()
    ema.update(model, step=3)
    assert torch.equal(ema.model.weight, model.weight)


def test_copy_is_apart_frozen_and_in_eval_mode():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    before = copy.deepcopy(model.state_dict())
    ema = EMA(model, decay=0.9)
    assert not ema.model.training and model.training
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        model[0].weight.add_(1)
    assert torch.equal(ema.model[0].weight, before["0.weight"])


def test_buffers_are_copied_not_averaged():
    model = nn.BatchNorm1d(2)
    ema = EMA(model, decay=0.9)
    model(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    ema.update(model, step=1000)
    assert torch.equal(ema.model.running_mean, model.running_mean)
    assert ema.model.num_batches_tracked == 1
