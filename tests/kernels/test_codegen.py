r"""The machine code of what is shipped: nothing spilled, tensor cores, wide accesses, no atomics. And the ruler itself.

Compiled in a process of its own, because this one interprets. No GPU is needed, and nothing is timed.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("triton")

from benchmarks import codegen as report
from minidiffusion_kernels.backend import HAVE_TRITON
from minidiffusion_kernels.codegen import cases, sass, widths
from minidiffusion_kernels.codegen.occupancy import occupancy

ROOT = Path(__file__).parents[2]
MOST_SHARED = 99 << 10  # bytes a program can have on the cards that have least (8.6, 8.9, 12.0)
TENSOR = {80: "hmma", 86: "hmma", 89: "hmma", 90: "hgmma"}  # how each generation multiplies matrices
LOOPS = {  # the most instructions that one tile of d64 fp16 may cost
    ("forward_kernel", 80): 660, ("forward_kernel", 90): 505, ("query_gradient", 80): 365, ("query_gradient", 90): 270,
    ("key_value_gradient", 80): 280,
}  # fmt: skip
compiles = pytest.mark.skipif(not HAVE_TRITON or sys.platform != "linux", reason="needs Triton's compiler")


# ------------------------------------------------------------------------------------------------- what is shipped


def compiled(folder, *words, cc):
    file = folder / "codegen.csv"
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-m", "minidiffusion_kernels.codegen", *words, "--csv", str(file), "--cc", *map(str, cc)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return report.read_csv(file)


def hold(rows):
    assert rows
    for row in rows:
        where = f"{row.case}, {row.kernel}, sm_{row.cc}"
        assert row.spills == 0, f"{where}: {row.spills} bytes spilled"
        assert row.shared <= MOST_SHARED, f"{where}: {row.shared} bytes of shared memory"
        assert row.atomics == 0, f"{where}: {row.atomics} atomics"
        if can_be_wide(row):
            assert row.bits128 >= 0.95, f"{where}: {row.bits128:.1%} of a tile's bytes, 128 bits at a time"
        if row.case.startswith("attention"):
            hold_attention(row, where)
        else:
            assert row.registers <= 64, f"{where}: {row.registers} registers"


def hold_attention(row, where):
    kind, width = row.case.split()[1:3]
    used = {name for name in ("hmma", "hgmma", "utcmma") if getattr(row, name)}
    if kind in ("fp16", "bf16"):
        assert used == {TENSOR[row.cc]}, f"{where}: tensor cores by {used}"
    else:  # products of float32 are exact, or by tensor cores where the user allowed that
        assert bool(used) == (kind == "tf32"), f"{where}: tensor cores by {used}"
    most = LOOPS.get((row.kernel, row.cc))
    if most and (kind, width) == ("fp16", "d64") and row.triton.startswith("3.7."):  # others count otherwise
        assert 100 < row.loop <= most, f"{where}: the hot loop has {row.loop} instructions"


def can_be_wide(row):
    """Are there tiles, do their rows begin at multiples of 16 bytes, and has each thread 16 bytes of them to move?"""
    kind, width = row.case.split()[1:3]
    if row.case.startswith("attention"):
        smaller = min(map(int, row.tile.split("x"))) * int(width[1:])
        return smaller * (2 if kind in ("fp16", "bf16") else 4) >= 16 * 32 * row.warps
    groups_of_10 = "nhwc" in row.case and row.kernel.endswith("_small")  # 10 channels are 20 or 40 bytes
    return row.tile != "" and "63x63" not in row.case and not groups_of_10


@compiles
def test_attention_on_an_a100_and_an_h100(tmp_path):
    rows = compiled(tmp_path, "attention", "fp16", "d64", cc=[80, 90])
    hold(rows)
    assert len(rows) == 2 * 2 * 2 * 3  # lengths, masks, cards, kernels
    published(rows)
    loop = {(row.case, row.kernel, row.cc): row.loop_mix for row in rows}
    for case in {row.case for row in rows}:  # two products of 128 x 64 x 64, in pieces of 16 x 8 x 16, by 4 warps
        assert loop[case, "forward_kernel", 80].startswith("tensor:128 ")
    instructions = {(row.case, row.kernel, row.cc): row.instructions for row in rows}
    for (case, kernel, cc), n in instructions.items():
        if "n1024" in case:  # the compiler uses that 1024 is a multiple of 16, so 1023 is another kernel
            assert n != instructions[case.replace("n1024", "n1023"), kernel, cc]


@compiles
def test_group_norm_on_a_t4_and_an_h100(tmp_path):
    rows = compiled(tmp_path, "group_norm", "fp16", "64x64", cc=[75, 90])
    hold(rows)
    assert sum(row.tile != "" for row in rows) == 2 * 2 * 4  # memory formats, cards, kernels that work on tiles
    published(rows)


@compiles
@pytest.mark.matrix
@pytest.mark.timeout(900)
@pytest.mark.parametrize("words, cc", [
    *((["attention", kind], cards) for kind in ("fp16", "bf16", "fp32", "tf32") for cards in ([80, 86], [89, 90])),
    *((["group_norm", kind], [75, 80, 86, 89, 90]) for kind in ("fp16", "bf16", "fp32")),
])  # fmt: skip
def test_everything_that_is_shipped(words, cc, tmp_path):
    hold(compiled(tmp_path, *words, cc=cc))


def test_lengths_come_as_multiples_of_16_and_not():
    names = list(cases.cases(["attention"]))
    assert len(names) == 4 * 4 * 2 * 2
    for name in names:
        assert name.replace("n1024", "n1023") in names and name.replace("n1023", "n1024") in names


@compiles
def test_a_process_that_interprets_cannot_compile():
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "minidiffusion_kernels.codegen", "--cc", "80"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "this process can only interpret" in done.stderr


# ------------------------------------------------------------------------------------------------- what is published


def published(rows):
    """The rows in benchmarks/results are these, if the same Triton made them."""
    known = {(row.case, row.kernel, row.cc): row for row in report.read_csv(report.CSV)}
    for row in rows:
        then = known[row.case, row.kernel, row.cc]
        if then.triton == row.triton:
            for name in ("tile", "registers", "spills", "shared", "loop", "loop_mix"):
                changed = f"{name} is {getattr(row, name)}, was {getattr(then, name)}; run benchmarks/codegen.py again"
                assert getattr(row, name) == getattr(then, name), f"{row.case}, {row.kernel}, sm_{row.cc}: {changed}"


def test_the_tables_in_the_readme_are_those_of_the_csv():
    page = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    assert report.with_tables(page, report.read_csv(report.CSV)) == page, "run benchmarks/codegen.py --redraw"


def test_a_table_says_what_is_wrong():
    rows = report.read_csv(report.CSV)
    for change in ({"spills": 8}, {"registers": 300}, {"shared": 1 << 20}):
        changed = [replace(row, **change) if row.case == report.D64 else row for row in rows]
        assert report.tables(changed) != report.tables(rows)


# ------------------------------------------------------------------------------------------------- the ruler


def listing(*lines):
    """As nvdisasm prints it: instructions with their addresses, labels and remarks without."""
    printed = [
        line if line.startswith((".L", "//")) else f"/*{i * 16:04x}*/   {line} ;" for i, line in enumerate(lines)
    ]
    return "\n".join(f"        {line}" for line in printed)


WORK = ["IADD3 R1, R1, 0x1, RZ"] * 12
NESTED = listing(
    '//## File "kernel.py", line 3',
    "LDG.E.128 R4, [R2.64]",
    ".L_x_0:",
    *WORK,
    ".L_x_1:",  # the inner loop: 2 HMMA, 1 MUFU
    '//## File "kernel.py", line 7',
    "LDGSTS.E.BYPASS.LTC128B.128 [R9], [R6.64], P1",
    "HMMA.16816.F32 R8, R4, R6, R8",
    "HMMA.16816.F32 R8, R4, R6, R8",
    "MUFU.EX2 R12, R13",
    *WORK,
    "@P0 BRA `(.L_x_1)",
    "HMMA.16816.F32 R8, R4, R6, R8",  # the outer one has more of them, since it contains the inner one
    "HMMA.16816.F32 R8, R4, R6, R8",
    '//## File "kernel.py", line 9',
    "@!P1 LDG.E R5, [R2.64]",
    "@!P2 EXIT",
    "BRA `(.L_x_0)",
    ".L_x_2:",
    "SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R2",
    "@!P0 BRA `(.L_x_2)",
    "BRA `(.L_x_1)",  # the wait is over
    "NOP",
    "NOP",
)


def test_the_hot_loop_is_the_inner_one():
    instructions = sass.read(NESTED)
    assert len(instructions) == 1 + 12 + 5 - 1 + 12 + 1 + 2 + 3 + 3
    (loop,) = sass.loops(instructions)
    assert [instructions[loop[0]].name, instructions[loop[-1]].op] == ["LDGSTS", "BRA"]
    hot = sass.hot_loop(instructions)
    assert len(hot) == len(loop) == 17
    assert sass.families(hot) == {"tensor": 2, "mufu": 1, "global": 1, "other": 13}


@pytest.mark.parametrize("way_out, closed", [
    ("@!P2 EXIT", True), ("@P0 CALL.REL.NOINC `(.L_x_9)", True), ("@P0 BRA `(.L_x_9)", True),
    ("@P0 MOV R1, R2", False), ("EXIT", False), ("@P0 BRA `(.L_x_0)", True),
])  # fmt: skip
def test_a_jump_back_without_condition_is_a_loop_only_after_a_way_out(way_out, closed):
    instructions = sass.read(listing(".L_x_0:", *WORK, way_out, "BRA `(.L_x_0)", ".L_x_9:", "EXIT"))
    expected = [range(14)] if closed and "x_0" not in way_out else [range(13)] * closed
    assert sass.loops(instructions) == expected


def test_of_equally_hot_loops_the_shorter_counts():
    def loop(label, n):
        return [f".L_x_{label}:", "HMMA.16816.F32 R8, R4, R6, R8", *WORK, *["SEL R1, R2, R3, P0"] * n,
                f"@P1 BRA `(.L_x_{label})"]  # fmt: skip

    assert len(sass.hot_loop(sass.read(listing(*loop(0, 9), *loop(1, 2), *loop(2, 5))))) == 1 + 12 + 2 + 1
    assert sass.hot_loop(sass.read(listing(*WORK, "EXIT"))) == []


def test_widths_of_all_accesses_and_of_those_to_tiles():
    instructions = sass.read(NESTED)
    assert widths.widths(instructions) == {128: 2, 32: 1}
    assert widths.widths(sass.read(listing(
        "STG.E.U16 [R2.64], R3", "@P0 LDG.E.64.CONSTANT R4, [R2.64]", "LDG.E.S8 R1, [R2.64]", "LDS.128 R4, [R2]"
    ))) == {16: 1, 64: 1, 8: 1}  # fmt: skip
    ttgir = """
    %x = tt.load %0, %1, %2 : tensor<64x32x!tt.ptr<f16>, #blocked> loc(#loc5)
    %k = ttg.async_copy_global_to_local %3, %4 mask %5 : tensor<64x64x!tt.ptr<f16>, #blocked> -> <64x64xf16> loc(#loc6)
    %y = tt.load %6, %7, %8 : tensor<64x!tt.ptr<f32>, #ttg.slice<{dim = 1, parent = #blocked}>> loc(#loc2)
#loc = loc(unknown)
#loc1 = loc("kernel.py":3:20)
#loc2 = loc("kernel.py":9:20)
#loc3 = loc("kernel.py":7:11)
#loc4 = loc("kernel.py":99:4)
#loc5 = loc("x"(#loc1))
#loc6 = loc(callsite(#loc3 at #loc4))
"""
    assert widths.tile_lines(ttgir) == {"kernel.py:3", "kernel.py:7"}
    assert widths.tile_accesses(instructions, ttgir) == {128: 2}
    assert widths.share(widths.widths(instructions), 128) == round(256 / 288, 3)


@pytest.mark.parametrize("cc, warps, registers, shared, programs, share", [
    (80, 4, 37, 0, 12, 0.75),  # CUDA C++ Best Practices Guide, "Calculating Occupancy": 128 threads of 37 registers,
    (80, 10, 37, 0, 4, 0.625),  # and 320 threads, on a multiprocessor with as many registers and warps
    (80, 4, 32, 0, 16, 1.0),
    (80, 4, 255, 49152, 2, 0.125),  # registers limit: 8 warps of 8,192
    (80, 4, 176, 24832, 2, 0.125),
    (90, 4, 126, 49152, 4, 0.25),  # shared memory and registers alike
    (90, 8, 187, 98304, 1, 0.125),
    (80, 1, 16, 0, 32, 0.5),  # programs limit
    (86, 4, 32, 0, 12, 1.0),  # warps limit
    (80, 4, 32, 163 << 10, 1, 0.062),  # a program costs 1 KB more than it asks for
    (80, 4, 32, 164 << 10, 0, 0.0),
    (86, 4, 32, 99 << 10, 1, 0.083),
    (75, 4, 32, 64 << 10, 1, 0.125),  # but not there
    (75, 4, 64, 81920, 0, 0.0),
])  # fmt: skip
def test_occupancy(cc, warps, registers, shared, programs, share):
    assert occupancy(cc, warps, registers, shared) == (programs, share)
