r"""Transformer blocks: the residual path is the identity, every part is wired to what it should be, pre-norm trains."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_clip_block_is_torchs_encoder_layer(norm):
    ours = shake(SelfAttentionBlock(12, 3, norm=norm))
    reference = torch.nn.TransformerEncoderLayer(
        12, 3, 48, dropout=0.0, activation=QuickGELU(), batch_first=True, norm_first=norm == "pre"
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


# Why the blocks of this house are pre-norm (Xiong et al. 2020).


def last_gradient(depth: int, norm: str) -> float:
    """The size of the gradient that the last block's last matrix gets before the first step; the mean of four stacks.

    The weights begin as the paper assumes: Xavier's, so that each branch is about as large as what passes by it.
    """
    sizes = []
    for seed in range(4):
        torch.manual_seed(seed)
        blocks = nn.ModuleList([SelfAttentionBlock(32, 2, norm=norm) for _ in range(depth)])
        for matrix in filter(lambda parameter: parameter.ndim > 1, blocks.parameters()):
            nn.init.xavier_uniform_(matrix)
        x, wanted = torch.randn(2, 8, 16, 32)
        for block in blocks:
            x = block(x)
        (F.layer_norm(x, (32,)) * wanted).sum().backward()
        sizes.append(blocks[-1].mlp[2].weight.grad.norm().item())
    return sum(sizes) / len(sizes)


def test_with_more_blocks_the_last_gets_a_smaller_gradient_only_under_pre_norm():
    # Theory: 1 / sqrt(4) with four times the blocks, for the stream that LayerNorm divides by has grown. Post-norm: 1.
    assert 0.35 < last_gradient(24, "pre") / last_gradient(6, "pre") < 0.6
    assert 0.8 < last_gradient(24, "post") / last_gradient(6, "post") < 1.25


class Reverser(nn.Module):
    """Gives back six letters in reverse."""

    def __init__(self, norm: str, depth: int = 24, dim: int = 16):
        super().__init__()
        self.letters, self.positions = nn.Embedding(6, dim), nn.Embedding(6, dim)
        self.blocks = nn.Sequential(*[SelfAttentionBlock(dim, 2, mlp_mult=2, norm=norm) for _ in range(depth)])
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 6))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.blocks(self.letters(ids) + self.positions.weight))


def loss_of_a_deep_stack(norm: str, seed: int = 0) -> float:
    torch.manual_seed(seed)
    network = Reverser(norm)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, fused=True)
    losses = []
    for _ in range(80):
        ids = torch.randint(6, (16, 6))
        loss = F.cross_entropy(network(ids).flatten(0, 1), ids.flip(1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / 10


def test_twenty_four_blocks_train_without_a_warm_up_only_under_pre_norm():
    guessing = math.log(6)
    assert loss_of_a_deep_stack("pre") < 0.6 * guessing
    assert loss_of_a_deep_stack("post") > 0.85 * guessing
