r"""Multi-head attention against torch.nn.MultiheadAttention, and what each of its switches must do."""

import pytest
import torch
from torch import nn

from minidiffusion.attention.multi_head import MultiHeadAttention
from tests.shake import relative_error, shake


def theirs(ours: MultiHeadAttention, dim: int, context_dim: int) -> nn.MultiheadAttention:
    reference = nn.MultiheadAttention(dim, ours.heads, kdim=context_dim, vdim=context_dim, batch_first=True)
    with torch.no_grad():
        if context_dim == dim:
            reference.in_proj_weight.copy_(torch.cat([ours.to_q.weight, ours.to_k.weight, ours.to_v.weight]))
        else:
            reference.q_proj_weight.copy_(ours.to_q.weight)
            reference.k_proj_weight.copy_(ours.to_k.weight)
            reference.v_proj_weight.copy_(ours.to_v.weight)
        reference.in_proj_bias.copy_(torch.cat([ours.to_q.bias, ours.to_k.bias, ours.to_v.bias]))
        reference.out_proj.load_state_dict(ours.to_out[0].state_dict())
    return reference


@pytest.mark.parametrize("heads", [1, 4])
def test_self_attention_is_torchs(heads):
    ours = shake(MultiHeadAttention(24, heads, qkv_bias=True))
    x = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    expected, weights = theirs(ours, 24, 24)(x, x, x, average_attn_weights=False)
    assert relative_error(ours(x), expected) < 1e-6
    assert relative_error(ours.weights(x), weights) < 1e-6


def test_cross_attention_is_torchs():
    ours = shake(MultiHeadAttention(24, 4, context_dim=10, qkv_bias=True))
    x, words = torch.randn(2, 7, 24), torch.randn(2, 5, 10)
    assert relative_error(ours(x, words), theirs(ours, 24, 10)(x, words, words)[0]) < 1e-6


def test_a_causal_head_does_not_see_the_future():
    attention = shake(MultiHeadAttention(16, 2, causal=True))
    x = torch.randn(1, 6, 16)
    changed = x.clone()
    changed[:, 4:] += 1
    assert torch.equal(attention(x)[:, :4], attention(changed)[:, :4])
    assert torch.equal(attention.weights(x).triu(1), torch.zeros(1, 2, 6, 6))


def test_without_positions_the_order_of_the_words_does_not_matter():
    attention = shake(MultiHeadAttention(16, 2, context_dim=16))
    x, words = torch.randn(1, 3, 16), torch.randn(1, 6, 16)
    torch.testing.assert_close(attention(x, words), attention(x, words.flip(1)))


def test_stable_diffusions_names_and_biases():
    assert set(MultiHeadAttention(8, 2, 4).state_dict()) == {
        "to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "to_out.0.bias"
    }  # fmt: skip


def test_uneven_heads_are_refused():
    with pytest.raises(ValueError, match="must be divisible by 4 heads, got 10"):
        MultiHeadAttention(10, 4)
