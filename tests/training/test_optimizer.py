import math

import pytest
import torch
from tiny_task import TinyConfig, TinyNetwork
from torch import nn

from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig
from minidiffusion.training.optimizer import Muon, make_optimizers, orthogonalise, warmup_cosine


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ Muon


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (24, 24), (3, 24, 40)])
def test_all_directions_become_about_equally_loud(shape):
    G = rand(*shape)
    U, S, V = torch.linalg.svd(G, full_matrices=False)
    assert S.max() / S.min() > 3
    X = orthogonalise(G)
    assert X.shape == G.shape and X.dtype == G.dtype
    loudness = (U.mT @ X @ V.mT).diagonal(dim1=-2, dim2=-1)  # of each of G's directions
    assert loudness.min() > 0.6 and loudness.max() < 1.3
    torch.testing.assert_close(X, U @ loudness.diag_embed() @ V, rtol=0, atol=0.03)  # and nothing else: bfloat16


def test_loudness_does_not_depend_on_the_size_of_the_gradient():
    G = rand(8, 16)
    torch.testing.assert_close(orthogonalise(2**-13 * G), orthogonalise(G), rtol=0, atol=0.001)  # no rounding: 2^-13
    assert orthogonalise(torch.zeros(8, 16)).abs().max() == 0


def test_a_faint_direction_is_heard():
    loud, faint = torch.outer(rand(20), rand(30, seed=1)), torch.outer(rand(20, seed=2), rand(30, seed=3))
    X = orthogonalise(loud + 0.02 * faint)
    U, S, V = torch.linalg.svd(loud + 0.02 * faint)
    assert S[1] / S[0] < 0.03
    assert (U[:, 1] @ X @ V[1]) / (U[:, 0] @ X @ V[0]) > 0.5


def test_steps_of_muon_by_hand():
    weight = nn.Parameter(rand(6, 2, 3, 3))
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    expected, momentum = weight.detach().clone(), torch.zeros(6, 18)
    for seed in (1, 2):
        weight.grad = rand(6, 2, 3, 3, seed=seed)
        G = weight.grad.flatten(1)
        momentum = 0.9 * momentum + 0.1 * G
        step = orthogonalise(0.9 * momentum + 0.1 * G).reshape(6, 2, 3, 3)
        expected = (1 - 0.1 * 0.5) * expected - 0.1 * step
        optimizer.step()
        torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=0.003)  # bfloat16 inside


def test_more_outputs_than_inputs_take_longer_steps_and_alike_weights_do_not_mix():
    weights = [nn.Parameter(torch.zeros(16, 4)) for _ in range(2)] + [nn.Parameter(torch.zeros(4, 16))]
    for i, weight in enumerate(weights):
        weight.grad = rand(*weight.shape, seed=i)
    untouched = nn.Parameter(torch.ones(16, 4))  # has no gradient
    Muon([*weights, untouched], lr=0.1).step()
    for weight, longer in zip(weights, (2, 2, 1), strict=True):
        expected = -0.1 * longer * orthogonalise(weight.grad)
        torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=0.01)
    assert untouched.min() == 1


# ------------------------------------------------------------------------------------------------ who moves what


def names(model, optimizer):
    of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [{of[id(p)] for p in group["params"]} for group in optimizer.param_groups]


def test_weight_decay_spares_norms_biases_and_embeddings():
    model = TinyNetwork(TinyConfig())
    (optimizer,) = make_optimizers(model, lr=0.1, muon=0.0, weight_decay=0.01)
    decayed, free = names(model, optimizer)
    assert decayed == {"linear.weight", "head.weight"}
    assert free == {name for name, _ in model.named_parameters()} - decayed
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]


def test_frozen_parameters_are_left_out():
    model = TinyNetwork(TinyConfig())
    model.table.requires_grad_(False)
    (optimizer,) = make_optimizers(model, lr=0.1, muon=0.0, weight_decay=0.01)
    assert set.union(*names(model, optimizer)) == {name for name, _ in model.named_parameters()} - {"table.weight"}


def test_muon_moves_the_hidden_matrices_and_adamw_the_rest():
    model = UNet(UNetConfig(channels=(8, 16), groups=4, heads=2, context_dim=8))
    adamw, muon = make_optimizers(model, lr=0.1, muon=0.2, weight_decay=0.01)
    decayed, free = names(model, adamw)
    assert decayed == {"conv_in.weight", "conv_out.weight"}
    assert all(parameter.ndim == 1 for name, parameter in model.named_parameters() if name in free)
    hidden = set.union(*names(model, muon))
    assert hidden | decayed | free == {name for name, _ in model.named_parameters()}
    assert not hidden & (decayed | free) and "mid_block.resnets.0.conv1.weight" in hidden
    assert {group["peak"] for group in muon.param_groups} == {0.2}
    assert {group["peak"] for group in adamw.param_groups} == {0.1}

    writer = Seq2Seq(Seq2SeqConfig(width=16, heads=2, ff_width=24, text_layers=1, picture_layers=1))
    adamw, muon = make_optimizers(writer, lr=0.1, muon=0.2, weight_decay=0.01)
    assert names(writer, adamw)[0] == {"head.weight"}  # its rows are tokens, as those of an embedding are
    assert "decoder.layers.0.ff.out.weight" in set.union(*names(writer, muon))


def test_learning_rate_climbs_a_line_and_descends_half_a_cosine():
    rates = [warmup_cosine(step, steps=12, warmup=4) for step in range(12)]
    cosine = [0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, *cosine], rel=1e-12)
    assert rates[8] == pytest.approx(0.5) and rates[11] > 0
    assert warmup_cosine(3, steps=4, warmup=4) == 1
    assert warmup_cosine(0, steps=3, warmup=0) == 1
