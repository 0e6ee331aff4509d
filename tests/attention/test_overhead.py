r"""What the choice of a backend costs on a CPU: at most 3 microseconds a call over PyTorch's own functions.

Measured in a process of its own, on one thread: here, jaxtyping checks the kernels' functions at each call. Tensors are
tiny, so that the calls themselves are what takes time. Ours and theirs take turns, and of each the fastest turn counts:
whatever else the machine does can only make a turn slower.
"""

import json
import os
import subprocess
import sys

import pytest

LIMIT = 3.0  # microseconds a call
PROGRAM = """
import json
from timeit import timeit

import torch
import torch.nn.functional as F

from minidiffusion_kernels.attention import attention
from minidiffusion_kernels.group_norm import group_norm

torch.set_num_threads(1)
q, x, w, b = torch.randn(1, 1, 4, 16), torch.randn(1, 8, 2, 2), torch.ones(8), torch.zeros(8)
calls, turns = 100, 200
pairs = {
    "attention": (lambda: attention(q, q, q), lambda: F.scaled_dot_product_attention(q, q, q)),
    "causal attention": (
        lambda: attention(q, q, q, causal=True), lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True)
    ),
    "group_norm": (lambda: group_norm(x, 4, w, b, 1e-5), lambda: F.group_norm(x, 4, w, b, 1e-5)),
    "group_norm + silu": (
        lambda: group_norm(x, 4, w, b, 1e-5, silu=True), lambda: F.silu(F.group_norm(x, 4, w, b, 1e-5))
    ),
}
costs = {}
for name, pair in pairs.items():
    fastest = [min(turn) for turn in zip(*([timeit(f, number=calls) for f in pair] for _ in range(turns)))]
    ours, theirs = (1e6 * seconds / calls for seconds in fastest)
    costs[name] = ours - theirs
print(json.dumps(costs))
"""


@pytest.fixture(scope="module")
def costs() -> dict[str, float]:
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", PROGRAM], env=alone, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.parametrize("operator", ["attention", "causal attention", "group_norm", "group_norm + silu"])
def test_choosing_a_backend_is_nearly_free(costs, operator):
    assert costs[operator] <= LIMIT, f"{operator} costs {costs[operator]:.2f} microseconds a call more than PyTorch's"
