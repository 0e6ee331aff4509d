"""Vector quantisation against brute force and against gradients that are written down."""

import pytest
import torch

from minidiffusion.latent.vq import VectorQuantizer, perplexity, usage


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def quantizer(codes=7, dim=3, beta=0.25):
    vq = VectorQuantizer(codes, dim, beta)
    vq.embedding.weight.data = torch.randn(codes, dim, generator=seeded(1), dtype=torch.float64)
    return vq


@pytest.fixture
def z():
    return torch.randn(2, 3, 4, 5, generator=seeded(), dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("space", [(), (6,), (4, 5)])
def test_the_nearest_code_is_that_of_brute_force(space):
    vq, z = quantizer(codes=50), torch.randn(9, 3, *space, generator=seeded(), dtype=torch.float64)
    flat = z.reshape(9, 3, -1).permute(0, 2, 1).reshape(-1, 3)
    z_q, ids, _ = vq(z)
    expected = torch.cdist(flat, vq.embedding.weight, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    assert ids.shape == (9, *space) and len(expected.unique()) > 5
    torch.testing.assert_close(ids, expected.view(9, *space))
    torch.testing.assert_close(
        z_q, vq.lookup(ids), rtol=0, atol=0
    )  # to the bit: what was trained on is what is looked up
    nearest = vq.embedding.weight[expected].view(9, -1, 3).permute(0, 2, 1).reshape(z.shape)
    torch.testing.assert_close(z_q, nearest, rtol=0, atol=0)


@pytest.mark.parametrize("beta", [0.25, 2.0])
def test_the_gradients_of_the_loss_are_those_of_equation_3(z, beta):
    vq = quantizer(beta=beta)
    _, ids, loss = vq(z)
    loss.backward()
    e, n = vq.lookup(ids).detach(), z.numel()
    difference = (e - z).detach()
    torch.testing.assert_close(loss.detach(), (1 + beta) * difference.square().sum() / n)
    torch.testing.assert_close(z.grad, -2 * beta * difference / n)
    codebook = torch.zeros(7, 3, dtype=torch.float64)  # a code that is picked m times gets m pulls, whatever beta is
    for k, pull in zip(ids.flatten(), difference.movedim(1, -1).reshape(-1, 3), strict=True):
        codebook[k] += 2 * pull / n
    torch.testing.assert_close(vq.embedding.weight.grad, codebook)


def test_the_gradient_goes_straight_through_to_z_and_not_to_the_codes(z):
    vq = quantizer()
    z_q = vq(z).z_q
    z_q.sin().sum().backward()
    torch.testing.assert_close(z.grad, z_q.detach().cos(), rtol=0, atol=0)  # of sin at z_q, not at z
    assert vq.embedding.weight.grad is None or not vq.embedding.weight.grad.any()


def test_training_finds_four_clusters_from_a_bad_start_only_if_dead_codes_are_revived():
    centres = torch.tensor([[5.0, 5.0], [5.0, -5.0], [-5.0, 5.0], [-5.0, -5.0]])
    z = (centres[:, None] + 0.1 * torch.randn(4, 50, 2, generator=seeded())).reshape(-1, 2)
    error = {}
    for reviving in (False, True):
        vq, generator = VectorQuantizer(4, 2), seeded()
        vq.embedding.weight.data = torch.tensor([[0.0, 0.0], [90.0, 0.0], [91.0, 0.0], [92.0, 0.0]])
        optimizer = torch.optim.SGD(vq.parameters(), lr=0.3)
        for step in range(200):
            if reviving and step in (20, 40, 60, 80, 100, 120):
                vq.revive(z, generator)
            optimizer.zero_grad()
            vq(z).loss.backward()
            optimizer.step()
        ids = vq.nearest(z)
        error[reviving] = (vq.lookup(ids) - z).square().mean().item()
        assert usage(ids, 4) == (1.0 if reviving else 0.25)
    assert error[False] == pytest.approx(25, rel=0.01)  # one code for all: the variance of the centres
    assert error[True] == pytest.approx(0.1**2, rel=0.2)


def test_revival_moves_unused_codes_only_onto_different_vectors(z):
    vq = quantizer(codes=30)
    ids = vq(z).ids
    before, dead = vq.embedding.weight.clone(), [k for k in range(30) if k not in ids]
    vq.eval()(
        torch.zeros(1, 3, 1, 1, dtype=torch.float64) + before[dead[0]].view(1, 3, 1, 1)
    )  # looking is not training
    others = torch.randn(2, 3, 4, 5, generator=seeded(3), dtype=torch.float64)
    assert 5 < len(dead) < 25 and vq.revive(others, seeded()) == len(dead)
    after = vq.embedding.weight.detach()
    living = [k for k in range(30) if k not in dead]
    torch.testing.assert_close(after[living], before[living], rtol=0, atol=0)
    vectors = others.movedim(1, -1).reshape(-1, 3)
    taken = (after[dead][:, None] == vectors).all(-1).nonzero()[:, 1]
    assert len(taken.unique()) == len(taken) == len(dead)
    assert set(dead) <= set(vq(others).ids.flatten().tolist())


def test_the_count_starts_afresh_and_an_unused_codebook_starts_among_the_data(z):
    vq = quantizer(codes=4)
    assert vq.revive(z[:1, :, :1, :3], seeded()) == 3  # none was used, but there are only three vectors
    for at in (0, 1):
        vq(vq.lookup(torch.tensor([[at]])).detach())
        assert vq.revive(z, seeded()) == 3  # all but the one used since the last call


def test_usage_and_perplexity():
    assert perplexity(torch.zeros(5, 3, dtype=torch.long), 8) == pytest.approx(1)
    assert perplexity(torch.arange(8).repeat(3), 8) == pytest.approx(8)
    assert perplexity(torch.tensor([0, 0, 0, 1]), 8) == pytest.approx(4 / 3**0.75)
    assert usage(torch.tensor([[0, 3], [3, 7]]), 8) == 3 / 8


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match="the latent must have 3 channels, got 4"):
        quantizer()(torch.zeros(1, 4, 2, 2, dtype=torch.float64))
