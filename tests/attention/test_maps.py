r"""Attention maps: the right ones, under the right names, and no hook left behind."""

import pytest
import torch
from torch import nn

from minidiffusion.attention.block import CrossAttentionBlock
from minidiffusion.attention.maps import attention_maps, on_square
from minidiffusion.attention.multi_head import MultiHeadAttention
from minidiffusion.networks.unet import UNet, UNetConfig
from tests.shake import shake
from tests.tiny import tiny_model

LEVEL = ".attentions.{}.transformer_blocks.0."


@pytest.fixture
def unet():
    return shake(UNet(UNetConfig(4, (8, 8), (False, True), heads=2, context_dim=6, groups=4)))


def inputs(side: int = 8):
    return torch.randn(3, 4, side, side), torch.tensor([1, 5, 9]), torch.randn(3, 5, 6)


def test_every_layer_of_a_u_net_gives_its_map_under_its_name(unet):
    with attention_maps(unet) as maps:
        unet(*inputs())
    places = {"down_blocks.1": [0], "mid_block": [0], "up_blocks.0": [0, 1]}
    layers = [name + LEVEL.format(i) for name, several in places.items() for i in several]
    assert list(maps) == [layer + which for layer in layers for which in ("attn1", "attn2")]
    for name, map_ in maps.items():
        assert map_.shape == (3, 2, 16, 16 if name.endswith("attn1") else 5)
        torch.testing.assert_close(map_.sum(-1), torch.ones(3, 2, 16))


def test_a_map_is_the_one_that_the_layer_used():
    block = shake(CrossAttentionBlock(8, 2, context_dim=6))
    x, context = torch.randn(2, 4, 8), torch.randn(2, 3, 6)
    with attention_maps(block) as maps:
        block(x, context)
    between = x + block.attn1(block.norm1(x))
    v = block.attn2.split_heads(block.attn2.to_v(context))
    heads = (maps["attn2"] @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block.attn2.to_out[0](heads), block.attn2(block.norm2(between), context))
    torch.testing.assert_close(maps["attn1"], block.attn1.weights(block.norm1(x)))


def test_a_context_by_name_and_a_network_that_is_one_layer():
    layer = shake(MultiHeadAttention(8, 2, context_dim=6))
    x, context = torch.randn(2, 4, 8), torch.randn(2, 3, 6)
    with attention_maps(layer) as maps:
        layer(x, context=context)
    torch.testing.assert_close(maps[""], layer.weights(x, context))


def test_maps_carry_no_gradient_and_change_no_output(unet):
    x, t, context = inputs()
    alone = unet(x, t, context)
    with attention_maps(unet) as maps:
        watched = unet(x, t, context)
    assert torch.equal(alone, watched) and watched.requires_grad
    assert not any(map_.requires_grad for map_ in maps.values())


def test_after_the_block_nobody_watches(unet):
    with pytest.raises(KeyError), attention_maps(unet) as maps:
        unet(*inputs())
        raise KeyError
    before = dict(maps)
    unet(*inputs())
    assert all(maps[name] is map_ for name, map_ in before.items())
    assert not any(module._forward_hooks for module in unet.modules())


def test_each_step_of_a_sampler_leaves_its_own_maps():
    model, layer = tiny_model(), "mid_block" + LEVEL.format(0) + "attn2"
    with attention_maps(model.unet) as maps:
        steps = [dict(maps)[layer] for _ in model.sample("a red house", seeds=[0, 1], steps=3)]
    words = model.context(["a red house"]).shape[1]
    assert [tuple(step.shape) for step in steps] == [(4, 2, 1, words)] * 3  # two seeds, without and with the prompt
    assert not torch.equal(steps[0], steps[1])
    assert not torch.equal(steps[0][:2], steps[0][2:])


@pytest.mark.parametrize("root", [2, 4])
def test_positions_become_a_square_row_by_row(root):
    x = torch.rand(3, root**2)
    found = on_square(x, 8)
    assert found.shape == (3, 8, 8)
    for row, column in ((0, 0), (3, 4), (7, 2)):
        assert torch.equal(found[:, row, column], x[:, root * (row * root // 8) + column * root // 8])


def test_refusals_say_what_is_wrong():
    with pytest.raises(ValueError, match="but Linear has none"), attention_maps(nn.Linear(2, 2)):
        pass
    for positions in (6, 9):
        with pytest.raises(ValueError, match=f"a square whose side divides 8, got {positions}"):
            on_square(torch.rand(1, positions), 8)
