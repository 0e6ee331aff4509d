r"""Our U-Net against diffusers': equal before it is timed, and timed in pairs."""

import pytest
import torch

pytest.importorskip("diffusers")

from benchmarks import unet
from benchmarks.clock import Cpu
from benchmarks.harness import read_csv

pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries deprecate is theirs to mend
SIZE = unet.REHEARSED[0]


def test_every_step_with_one_thread_and_two(tmp_path, monkeypatch):
    asked, before = [], torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", asked.append)  # for other tests run beside this one
    rows = unet.compare(Cpu(), [SIZE], tmp_path, seconds=0)
    assert asked == [1, 2, before]
    cases = {(row.case["step"], row.case["threads"]) for row in rows}
    assert cases == {(step, n) for step in ("training", "sampling") for n in (1, 2)}
    for step, n in cases:
        found = [row for row in rows if (row.case["step"], row.case["threads"]) == (step, n)]
        assert {(r.metric, r.backend) for r in found if "load" not in r.metric} == {
            ("time", "torch"), ("time", "diffusers"), ("speed against diffusers", "torch"),
        }  # fmt: skip
    assert len(read_csv(tmp_path / "unet.csv")) == len(rows)


def test_nothing_is_timed_unless_results_and_gradients_agree():
    found = unet.contenders(SIZE, Cpu())
    unet.check(found, SIZE, "cpu")
    with torch.no_grad():
        found["torch"].net.conv_out.bias += 0.01
    with pytest.raises(RuntimeError, match="the result of torch is off"):
        unet.check(found, SIZE, "cpu")


def test_a_wrong_gradient_is_found():
    found = unet.contenders(SIZE, Cpu())
    found["torch"].net.conv_in.weight.register_hook(lambda gradient: 1.01 * gradient)
    with pytest.raises(RuntimeError, match="the gradient of torch is off"):
        unet.check(found, SIZE, "cpu")


def test_a_training_step_trains_and_a_sampling_step_does_not():
    contender = unet.contenders(SIZE, Cpu())["torch"]
    before = contender.net.conv_in.weight.clone()
    unet.sampling_step(contender, SIZE, "cpu")()
    assert torch.equal(contender.net.conv_in.weight, before)
    unet.training_step(contender, SIZE, "cpu")()
    assert not torch.equal(contender.net.conv_in.weight, before)
