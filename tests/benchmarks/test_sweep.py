r"""The benchmarks of kernels, on tiny inputs: is what they report what they claim, and what is wrong not timed?"""

import pytest
import torch

from benchmarks import attention, group_norm, sweep
from benchmarks import bytes as model
from benchmarks.attention import Attention
from benchmarks.clock import Cpu
from benchmarks.group_norm import GroupNorm
from benchmarks.harness import read_csv

TINY = {"attention": Attention("tiny", 1, 2, 6, 5, 16), "group_norm": GroupNorm("tiny", (1, 4, 3, 5), groups=2)}


class Quick(Cpu):
    seconds = 0


@pytest.mark.parametrize("question", TINY)
def test_every_pass_of_every_backend_has_its_rows(question, tmp_path):
    rows = sweep.sweep(question, [TINY[question]], Quick(), tmp_path)
    times = {(row.backend, row.case["pass"]): row for row in rows if row.metric == "time"}
    assert set(times) == {(backend, which) for backend in ("reference", "torch") for which in model.PASSES}
    assert len(read_csv(tmp_path / f"{question}.csv")) == len(rows)
    for (backend, which), time in times.items():
        rates = {r.unit: r for r in rows if (r.metric, r.backend, r.case["pass"]) == ("rate", backend, which)}
        assert set(rates) == ({"GB/s", "TFLOP/s"} if question == "attention" else {"GB/s"})
        moved = TINY[question].least(torch.float32)[which]
        assert rates["GB/s"].value == pytest.approx(moved / time.value / 1e9)
        assert time.low <= time.value <= time.high and rates["GB/s"].low <= rates["GB/s"].value <= rates["GB/s"].high


def test_what_a_cpu_cannot_hold_is_modelled_and_not_timed(tmp_path):
    rows = sweep.sweep("attention", [attention.SHAPES[0]], Quick(), tmp_path)
    assert {row.metric for row in rows} == {"bytes (model, not measured)"}
    assert {row.backend for row in rows} == {"reference", "triton"}


def prepared(question):
    problem = TINY[question]
    inputs = [x.requires_grad_() for x in problem.inputs("cpu", torch.float32)]
    return problem, inputs, torch.randn_like(problem.run("torch", *inputs))


@pytest.mark.parametrize("question", TINY)
def test_a_wrong_result_is_refused(question):
    problem, inputs, dy = prepared(question)
    sweep.check(problem, {"torch": lambda *x: problem.run("torch", *x)}, inputs, dy)
    with pytest.raises(RuntimeError, match=r"the result of torch is off by 1\.0e-03"):
        sweep.check(problem, {"torch": lambda *x: 1.001 * problem.run("torch", *x)}, inputs, dy)


@pytest.mark.parametrize("question", TINY)
def test_a_wrong_gradient_is_refused(question):
    problem, inputs, dy = prepared(question)

    def half(first, *rest):  # the right result, with half of the first gradient
        return problem.run("torch", first.detach() + (first - first.detach()) / 2, *rest)

    with pytest.raises(RuntimeError, match=r"gradient 0 of torch is off by 5\.0e-01"):
        sweep.check(problem, {"torch": half}, inputs, dy)


def test_heads_that_our_kernel_does_not_take_are_refused_with_a_reason():
    wide = Attention("wide", 1, 1, 3, 5, 160)
    assert "heads are 160 wide" in wide.refusal(*wide.inputs("cpu", torch.float32))
    assert "triton" not in wide.moved(torch.float16, (8, 0))
    assert "triton" not in TINY["attention"].moved(torch.float16, (7, 5))  # a T4


def test_the_shapes_are_those_that_stable_diffusion_normalises_and_attends_over():
    from minidiffusion.networks.unet import UNet, UNetConfig

    config = UNetConfig.stable_diffusion_1_5()
    with torch.device("meta"):
        unet = UNet(config)
    seen = {"attention": set(), "group_norm": set()}

    def norm(module, args, output):
        seen["group_norm"].add(tuple(args[0].shape))

    def attend(module, args, output):
        x, context = args[0], (args[1] if len(args) > 1 and args[1] is not None else args[0])
        seen["attention"].add((len(x), module.heads, x.shape[1], context.shape[1], x.shape[2] // module.heads))

    for module in unet.modules():
        if type(module).__name__ == "MultiHeadAttention":
            module.register_forward_hook(attend)
        if type(module).__name__ == "GroupNorm" and module.silu:
            module.register_forward_hook(norm)
    x, context = torch.empty(2, 4, 64, 64, device="meta"), torch.empty(2, 77, 768, device="meta")
    unet(x, torch.ones(2, device="meta"), context)
    ours = {tuple(a[1:]) for a in attention.SHAPES if a.of.startswith("SD 1.5")}
    assert ours == seen["attention"]
    assert {g.shape for g in group_norm.SHAPES if g.of in ("SD 1.5", "SD 1.5, joined")} <= seen["group_norm"]
