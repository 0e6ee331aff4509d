r"""The benchmarks' models of bytes are those that the interpreted kernels really ask for."""

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton")
if torch.cuda.is_available():
    pytest.skip("traffic is counted in the interpreter only", allow_module_level=True)

from benchmarks import bytes as model
from minidiffusion_kernels.attention import configs, reference
from minidiffusion_kernels.attention.op import fused_attention, fused_attention_backward
from minidiffusion_kernels.group_norm.backward import backward
from minidiffusion_kernels.group_norm.forward import forward
from minidiffusion_kernels.group_norm.layout import Layout
from minidiffusion_kernels.operators import Operators
from minidiffusion_kernels.traffic import traffic


def asked(moved):
    return (moved.loads + moved.stores).total()


@pytest.mark.parametrize("shape, groups", [((2, 20, 16, 16), 2), ((1, 20, 64, 64), 2)], ids=["small", "large"])
def test_group_norm(shape, groups):
    x, dy = torch.randn(2, *shape, dtype=torch.float16)
    weight, bias = torch.randn(2, shape[1], dtype=torch.float16)
    with traffic() as there:
        _, mean, rstd = forward(x, weight, bias, groups, 1e-5, True)
    with traffic() as back:
        backward(dy, x, weight, bias, mean, rstd, groups, True)
    ours = model.group_norm_asked(shape, x.element_size(), Layout.of(x, groups).small)
    assert asked(there) == pytest.approx(ours["forward"], rel=0.01)
    assert asked(back) == pytest.approx(ours["backward"], rel=0.01)
    least = model.group_norm_least(shape, x.element_size())
    assert there.distinct["x"] + there.distinct["y"] == least["forward"]
    assert back.distinct["x"] + back.distinct["dy"] + back.distinct["dx"] == least["backward"]


def test_group_norm_with_silu_moves_three_fifths_of_what_pytorchs_operators_do():
    shape = (2, 320, 64, 64)
    x, weight = torch.empty(shape, dtype=torch.float16, device="meta"), torch.empty(320, device="meta").half()
    eager = model.operators(lambda x, w, b: F.silu(F.group_norm(x, 32, w, b)), x, weight, weight)
    ours = model.group_norm_asked(shape, 2, Layout.of(x, 32).small)
    assert ours["forward"] / eager["forward"] == pytest.approx(0.600, abs=0.0005)
    assert ours["backward"] / eager["backward"] == pytest.approx(0.625, abs=0.0005)


@pytest.mark.parametrize("m, n, d", [(96, 96, 64), (70, 77, 40), (33, 100, 128)])
def test_attention(m, n, d):
    b, h = 1, 2
    q, k, v, do = (torch.randn(b, h, length, d, dtype=torch.float16) for length in (m, n, n, m))
    with traffic() as there:
        o, softmax = fused_attention(q, k, v, False, d**-0.5)
    with traffic() as back:
        fused_attention_backward(do, q, k, v, o, softmax, False, d**-0.5)
    tile = configs.INTERPRETED.BLOCK_M, configs.INTERPRETED.BLOCK_N
    ours = model.attention_asked(b, h, m, n, d, 2, dict.fromkeys(configs.TABLE, tile))
    assert (asked(there), asked(back)) == (ours["forward"], ours["backward"])
    least = model.attention_least(b, h, m, n, d, 2)
    assert there.distinct.total() == least["forward"]
    assert back.distinct.total() - back.distinct["delta"] == least["backward"]


def test_the_formula_of_attention_moves_the_matrix_of_weights_six_times():
    r"""Written by each of product, scaling and softmax, and read by what follows each of them."""
    n, d = 1024, 64
    q = torch.empty(1, 1, n, d, dtype=torch.float16, device="meta")
    formula = model.operators(reference.attention, q, q, q)
    assert formula["forward"] == 6 * n * n * 2 + 4 * n * d * 2


def test_a_view_moves_nothing_and_an_expanded_tensor_is_small():
    x = torch.empty(8, 1, device="meta")
    with Operators() as ran:
        x.reshape(2, 4).transpose(0, 1).expand(3, 4, 2)
        x.expand(8, 100) * 2
        x.mul_(2)
    assert ran.names == ["aten.mul.Tensor", "aten.mul_.Tensor"]
    assert ran.bytes == [4 * (8 + 800), 4 * (8 + 8)] and ran.largest == 4 * 800
