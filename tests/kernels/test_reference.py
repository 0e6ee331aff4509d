r"""Every backend of an operation gives the numbers of the formula, in float64 to rounding."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from minidiffusion_kernels.attention import attention, attention_weights
from minidiffusion_kernels.group_norm import group_norm
from tests.unchecked import unchecked


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("backend", ["auto", "reference", "torch"])
def test_attention_is_a_weighted_mean_of_values(backend, scale, causal):
    q, k, v = rand(2, 3, 7, 5), rand(2, 3, 7, 5, seed=1), rand(2, 3, 7, 5, seed=2)
    expected = torch.empty_like(q)
    for i in range(7):  # one query at a time, by hand
        seen = slice(0, i + 1 if causal else 7)
        scores = torch.einsum("bhd,bhnd->bhn", q[:, :, i], k[:, :, seen]) * (5**-0.5 if scale is None else scale)
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        expected[:, :, i] = torch.einsum("bhn,bhnd->bhd", weights, v[:, :, seen])
    torch.testing.assert_close(attention(q, k, v, causal=causal, scale=scale, backend=backend), expected)


def test_attention_weights_are_distributions_and_survive_huge_logits():
    weights = attention_weights(1e4 * rand(1, 2, 6, 4), rand(1, 2, 9, 4, seed=1))
    assert weights.isfinite().all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 6, dtype=torch.float64))


@pytest.mark.parametrize("backend", ["auto", "reference", "torch"])
@pytest.mark.parametrize("shape", [(2, 12, 5), (2, 12, 3, 5), (1, 12, 1, 1)])
def test_group_norm(backend, shape):
    x, weight, bias = rand(*shape), rand(12, seed=1), rand(12, seed=2)
    normal = torch.stack([
        (g - g.mean()) / (g.var(correction=0) + 1e-3).sqrt() for sample in x for g in sample.split(3)
    ]).reshape(shape)  # fmt: skip
    per_channel = (1, 12, *[1] * (len(shape) - 2))
    expected = normal * weight.reshape(per_channel) + bias.reshape(per_channel)
    torch.testing.assert_close(group_norm(x, 4, weight, bias, 1e-3, backend=backend), expected)
    torch.testing.assert_close(group_norm(x, 4, weight, bias, 1e-3, silu=True, backend=backend), F.silu(expected))
    torch.testing.assert_close(group_norm(x, 4, None, None, 1e-3, backend=backend), normal)


def test_the_root_exports_the_functions_and_loads_no_triton():
    r"""Packages of the same names hold them: whatever is imported first, at the root the functions must win."""
    code = """
import sys
import minidiffusion_kernels.attention.reference, minidiffusion_kernels.group_norm.op
from minidiffusion_kernels import attention, group_norm
print(type(attention).__name__, type(group_norm).__name__, "triton" in sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["function", "function", "False"]


def test_unknown_backends_are_refused():
    with pytest.raises(ValueError, match="'auto', 'reference', 'torch' or 'triton'"):
        unchecked(group_norm)(rand(1, 4, 2), 2, backend="cuda")
