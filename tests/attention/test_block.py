r"""Transformer blocks: the residual path is the identity, and every part is wired to what it should be."""

import pytest
import torch
import torch.nn.functional as F

from minidiffusion.attention.block import GEGLU, CrossAttentionBlock, QuickGELU, SelfAttentionBlock
from tests.shake import relative_error, shake


def test_geglu_gates_the_first_half_with_the_second():
    layer = shake(GEGLU(6, 4))
    x = torch.randn(3, 6)
    value, gate = x @ layer.proj.weight[:4].T + layer.proj.bias[:4], x @ layer.proj.weight[4:].T + layer.proj.bias[4:]
    exact_gelu = gate * 0.5 * (1 + torch.erf(gate / 2**0.5))
    torch.testing.assert_close(layer(x), value * exact_gelu)


def test_quick_gelu_is_near_the_exact_one():
    x = torch.linspace(-8, 8, 2001)
    assert 0.015 < (QuickGELU()(x) - F.gelu(x)).abs().max() < 0.021


@pytest.mark.parametrize("block", [SelfAttentionBlock(8, 2), CrossAttentionBlock(8, 2, context_dim=5)])
def test_with_silent_branches_a_block_is_the_identity(block):
    shake(block)
    last = [block.attn.to_out[0], block.mlp[2]] if isinstance(block, SelfAttentionBlock) else [
        block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[2]
    ]  # fmt: skip
    for linear in last:
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    x = torch.randn(2, 4, 8)
    context = [torch.randn(2, 3, 5)] if isinstance(block, CrossAttentionBlock) else []
    assert torch.equal(block(x, *context), x)


def test_the_clip_block_is_torchs_encoder_layer():
    ours = shake(SelfAttentionBlock(12, 3))
    reference = torch.nn.TransformerEncoderLayer(
        12, 3, 48, dropout=0.0, activation=QuickGELU(), batch_first=True, norm_first=True
    ).eval()
    with torch.no_grad():
        attn = reference.self_attn
        attn.in_proj_weight.copy_(torch.cat([ours.attn.to_q.weight, ours.attn.to_k.weight, ours.attn.to_v.weight]))
        attn.in_proj_bias.copy_(torch.cat([ours.attn.to_q.bias, ours.attn.to_k.bias, ours.attn.to_v.bias]))
        attn.out_proj.load_state_dict(ours.attn.to_out[0].state_dict())
        pairs = {"linear1": ours.mlp[0], "linear2": ours.mlp[2], "norm1": ours.norm1, "norm2": ours.norm2}
        for name, mine in pairs.items():
            getattr(reference, name).load_state_dict(mine.state_dict())
        x = torch.randn(2, 5, 12)
        assert relative_error(ours(x), reference(x)) < 1e-6
