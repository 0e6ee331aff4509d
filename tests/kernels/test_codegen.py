r"""The machine code of what is shipped: nothing spilled, not too much shared memory, no atomics.

Compiled in a process of its own, because this one interprets. No GPU is needed, and nothing is timed.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from kernels.backend import HAVE_TRITON

ROOT = Path(__file__).parents[2]
MOST_SHARED = 99 << 10  # bytes a program can have on the cards that have least (8.6, 8.9, 12.0)
pytestmark = pytest.mark.skipif(not HAVE_TRITON or sys.platform != "linux", reason="needs Triton's compiler")


def compiled(folder, *words, cc):
    file = folder / "codegen.csv"
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-m", "kernels.codegen", *words, "--csv", str(file), "--cc", *map(str, cc)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    return [{k: v if k in TEXT else float(v) for k, v in row.items()} for row in rows]


TEXT = ("case", "kernel", "loop_mix", "widths", "triton", "ptxas")


def hold(rows):
    assert rows
    for row in rows:
        where = f"{row['case']}, {row['kernel']}, sm_{row['cc']:.0f}"
        assert row["spills"] == 0, f"{where}: {row['spills']:.0f} bytes spilled"
        assert row["shared"] <= MOST_SHARED, f"{where}: {row['shared']:.0f} bytes of shared memory"
        assert row["atomics"] == 0, where
        if row["case"].startswith("attention") and "fp32" not in row["case"]:
            assert row["tensor"] > 0, f"{where}: no tensor cores"
    return {(row["kernel"], row["cc"]): row for row in rows}


def test_attention_on_an_a100(tmp_path):
    r"""The hot loop is one tile of keys (of queries, for dk dv): it must not grow unnoticed."""
    rows = hold(compiled(tmp_path, "attention", "fp16", "d64", "n1024 causal", cc=[80]))
    budget = {"forward_kernel": 660, "query_gradient": 365, "key_value_gradient": 280}
    for kernel, most in budget.items():
        assert 100 < rows[kernel, 80]["loop"] <= most, kernel
        assert rows[kernel, 80]["bits128"] >= 0.7  # L and delta, one number a row, are the rest
    assert rows["forward_kernel", 80]["loop_mix"].startswith("tensor:128 ")


def test_group_norm_on_a_t4(tmp_path):
    rows = hold(compiled(tmp_path, "group_norm", "fp16", "nchw", "64x64", cc=[75]))
    assert len(rows) == 5
    for row in rows.values():
        assert row["registers"] <= 64, row["kernel"]
    widths = {kernel: dict(pair.split(":") for pair in row["widths"].split()) for (kernel, _), row in rows.items()}
    # 2048 halves for 128 threads are two accesses of 128 bits each, for every tensor of the picture's size
    assert [widths[k]["128"] for k in ("partial_moments", "normalize", "partial_sums", "input_gradient")] == list(
        "2446"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("words, cc", [
    (["attention", "fp16"], [80, 86, 89, 90]), (["attention", "bf16", "d64"], [80, 90]),
    (["attention", "fp32"], [80, 90]), (["attention", "tf32", "d64"], [80, 90]), (["group_norm"], [75, 80, 90]),
])  # fmt: skip
def test_everything_that_is_shipped(words, cc, tmp_path):
    hold(compiled(tmp_path, *words, cc=cc))


def test_a_process_that_interprets_cannot_compile():
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "kernels.codegen", "--cc", "80"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "this process can only interpret" in done.stderr
