r"""Circular padding: a network that is turned around the edge gives what it gave, turned."""

import pytest
import torch

from minidiffusion.networks.seamless import seamless
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def turn(x, rows, columns):
    return x.roll((rows, columns), (-2, -1))


def answers(model, z):
    t, context = torch.tensor([10]), model.context(["a red house"])
    with torch.inference_mode():
        return model.unet(z, t, context), model.vae.decode(z)


def test_without_an_edge_the_networks_do_not_know_where_they_are(model):
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with seamless(model.unet, model.vae.decoder):
        here, there = answers(model, z), answers(model, turn(z, 2, -4))  # by what all levels of the U-Net can follow
    torch.testing.assert_close(there[0], turn(here[0], 2, -4), rtol=0, atol=1e-5)
    f = model.vae.config.downsampling
    torch.testing.assert_close(there[1], turn(here[1], 2 * f, -4 * f), rtol=0, atol=1e-5)


def test_with_an_edge_they_do_and_afterwards_all_is_as_before(model):
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    before = answers(model, z)
    for got, here in zip(answers(model, turn(z, 2, -4)), before, strict=True):
        assert (got - turn(here, 2, -4) if got.shape == z.shape else got - turn(here, 8, -16)).abs().max() > 1e-3
    with pytest.raises(KeyboardInterrupt), seamless(model.unet, model.vae.decoder):
        assert not torch.equal(answers(model, z)[0], before[0])
        raise KeyboardInterrupt
    assert all(torch.equal(a, b) for a, b in zip(answers(model, z), before, strict=True))
    with seamless(model.unet, on=False):
        assert torch.equal(answers(model, z)[0], before[0])
