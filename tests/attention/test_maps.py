r"""Maps caught from outside: the right ones, under the right names, and nothing left behind."""

import pytest
import torch
from torch import nn

from minidiffusion.attention.block import CrossAttentionBlock
from minidiffusion.attention.maps import attention_maps, on_square, word_map
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
        steps = [dict(maps)[layer] for _ in model.trajectory("a red house", seeds=[0, 1], steps=3)]
    words = model.context(["a red house"]).shape[1]
    assert [tuple(step.shape) for step in steps] == [(4, 2, 1, words)] * 3  # two seeds, without and with the prompt
    assert not torch.equal(steps[0], steps[1])
    assert not torch.equal(steps[0][:2], steps[0][2:])


def test_the_map_of_a_word_is_the_mean_over_heads_and_layers_of_both_sizes():
    small, large = torch.rand(1, 2, 4, 3), torch.rand(1, 2, 16, 3)
    maps = {"a.attn1": torch.rand(1, 2, 4, 4), "a.attn2": small, "b.attn2": large}
    found = word_map(maps, tokens=[1, 2], side=8)
    assert found.shape == (1, 8, 8)
    for row, column in ((0, 0), (3, 4), (7, 2)):
        a, b = small[0, :, 2 * (row // 4) + column // 4], large[0, :, 4 * (row // 2) + column // 2]
        torch.testing.assert_close(found[0, row, column], (a + b)[:, 1:].sum() / 4)


def test_refusals_say_what_is_wrong():
    with pytest.raises(ValueError, match="Linear has no attention layer"), attention_maps(nn.Linear(2, 2)):
        pass
    with pytest.raises(ValueError, match=r"none of the maps is one of words \(attn2\); there are: a.attn1"):
        word_map({"a.attn1": torch.rand(1, 2, 4, 4)}, [0], 8)
    with pytest.raises(ValueError, match="6 places do not make a square that fits into 8 x 8"):
        on_square(torch.rand(1, 6), 8)
    with pytest.raises(ValueError, match="9 places do not make a square that fits into 8 x 8"):
        on_square(torch.rand(1, 9), 8)
