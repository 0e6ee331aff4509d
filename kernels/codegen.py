r"""What the kernels become on a GPU, read from the machine code. No GPU is needed, and nothing here is a time.

    python -m kernels.codegen                       every shipped configuration, on every generation (some minutes)
    python -m kernels.codegen attention --cc 80 90  those whose name contains "attention", on A100 and H100
    python -m kernels.codegen --csv build/codegen.csv

Each case runs the launcher that users run, on tensors without memory (PyTorch's "meta" device), with Triton's compiler
in place of the launch: what is measured is what is shipped, with the same specialisation of the arguments. `ptxas`
then reports the registers and spills, and `nvdisasm` lists the instructions.
"""

import argparse
import csv
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas

from . import backend

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
CAPABILITIES = (75, 80, 86, 89, 90, 100, 120)


@dataclass(frozen=True)
class Multiprocessor:
    """What one multiprocessor offers (CUDA C++ Programming Guide, technical specifications per compute capability)."""

    warps: int
    programs: int
    shared: int
    registers: int = 65536


SM = {
    75: Multiprocessor(32, 16, 64 << 10),
    80: Multiprocessor(64, 32, 164 << 10),
    86: Multiprocessor(48, 16, 100 << 10),
    89: Multiprocessor(48, 24, 100 << 10),
    90: Multiprocessor(64, 32, 228 << 10),
    100: Multiprocessor(64, 32, 228 << 10),
    120: Multiprocessor(48, 24, 100 << 10),
}


@dataclass(frozen=True)
class Row:
    """One kernel, compiled for one generation. Counts are instructions in the machine code, not executed ones."""

    case: str
    kernel: str
    cc: int
    warps: int
    stages: int
    registers: int
    spills: int  # bytes a thread stores to and loads from memory for want of registers
    shared: int  # bytes a program
    programs_per_sm: int
    occupancy: float
    instructions: int
    tensor: int  # HMMA, HGMMA, UTCHMMA: tensor-core instructions
    mufu: int  # special functions: exp2, log2, rcp, rsqrt
    atomics: int
    bits128: float  # share of the bytes to and from global memory that move 128 bits at a time
    loop: int  # instructions of the hot loop
    loop_mix: str
    widths: str
    triton: str = triton.__version__
    ptxas: str = ""


class _Driver:
    """As much of a driver as the compiler needs. The generation poses as the device, so that each is cached apart."""

    def __init__(self, cc: int):
        self.cc = cc

    def get_current_target(self):
        return GPUTarget("cuda", self.cc, 32)

    def get_current_device(self):
        return self.cc

    def get_current_stream(self, device):
        return 0


@contextmanager
def compiling_for(cc: int) -> Iterator[list]:
    """Inside, launching a kernel compiles it for `cc` and appends (name, compiled kernel) to the list."""
    if backend.interpreting():
        raise RuntimeError("TRITON_INTERPRET=1 is set: this process can only interpret; unset it to compile")
    compiled = []
    run = triton.JITFunction.run

    def compile_only(kernel, *arguments, grid, warmup, **options):
        compiled.append((kernel.__name__, run(kernel, *arguments, grid=grid, warmup=True, **options)))

    with (
        mock.patch.object(triton.runtime.driver, "_active", _Driver(cc)),
        mock.patch.object(triton.JITFunction, "run", compile_only),
        mock.patch.object(backend, "capability", lambda device: divmod(cc, 10)),
    ):
        yield compiled


def measure(case: str, kernel: str, cc: int, compiled) -> Row:
    """Read registers and spills from ptxas, everything else from the disassembly."""
    ptxas = get_ptxas(cc).path
    with tempfile.TemporaryDirectory() as folder:
        ptx, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        ptx.write_text(compiled.asm["ptx"])
        cubin.write_bytes(compiled.asm["cubin"])
        architecture = re.search(r"\.target\s+(sm_\w+)", compiled.asm["ptx"])[1]
        again = (ptxas, "-v", "-lineinfo", "--regAllocOptLevel=2", f"--gpu-name={architecture}")  # Triton's own flags
        report = _run(*again, str(ptx), "-o", os.devnull)
        sass = _run(str(TOOLS / "nvdisasm"), "-c", str(cubin))
    registers = int(re.search(r"Used (\d+) registers", report)[1])
    spills = sum(int(n) for n in re.findall(r"(\d+) bytes spill (?:stores|loads)", report))
    threads, shared = compiled.metadata.num_warps * 32, compiled.metadata.shared
    threads = int(re.search(r"\.(?:reqntid|maxntid)\s+(\d+)", compiled.asm["ptx"])[1])
    programs, occupancy = occupy(cc, threads // 32, registers, shared)
    instructions, loop = disassembled(sass)
    count = Counter(op.split(".")[0] for op in instructions)
    widths = global_widths(instructions)
    moved = sum(bits * n for bits, n in widths.items())
    return Row(
        case, kernel, cc, compiled.metadata.num_warps, compiled.metadata.num_stages, registers, spills, shared,
        programs, occupancy, len(instructions), sum(count[op] for op in TENSOR), count["MUFU"],
        sum(count[op] for op in ATOMIC),
        round(widths[128] * 128 / moved, 3) if moved else 1.0, len(loop), mix(loop),
        " ".join(f"{bits}:{n}" for bits, n in sorted(widths.items())),
        ptxas=re.search(r"V([\d.]+)", _run(ptxas, "--version"))[1],
    )  # fmt: skip


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:]}")
    return done.stdout + done.stderr


TENSOR = ("HMMA", "HGMMA", "UTCHMMA")
ATOMIC = ("ATOM", "ATOMG", "ATOMS", "RED", "REDG")
FAMILY = {
    **dict.fromkeys(TENSOR, "tensor"), "MUFU": "mufu", "FFMA": "ffma", "FFMA2": "ffma", "FADD": "fadd", "FADD2": "fadd",
    "FMUL": "fmul", "FMUL2": "fmul", "FMNMX": "max", "FSEL": "select", "F2F": "convert", "F2FP": "convert",
    "LDG": "global", "STG": "global", "LDGSTS": "global", "LDS": "shared", "STS": "shared", "LDSM": "shared",
    "STSM": "shared", "SHFL": "shuffle", "BAR": "barrier", "SYNCS": "barrier", "LDL": "spill", "STL": "spill",
}  # fmt: skip


def disassembled(sass: str) -> tuple[list[str], list[str]]:
    r"""The instructions of a kernel without padding, and those of its hot loop.

    A loop is what lies between a label and a conditional branch back to it; the hot one has the most tensor-core
    instructions, then the most multiply-adds. Of equals it is the shortest: the loop without masks, which runs most.
    """
    ops, conditional, target, labels = [], [], [], {}
    for line in sass.splitlines():
        if label := re.match(r"\s*(\.L_[\w$]+):", line):
            labels[label[1]] = len(ops)
        elif found := re.match(r"\s*(?:/\*[0-9a-f]+\*/)?\s*(@!?U?P[T0-9]+\s+)?([A-Z][A-Z0-9_]*[\w.]*)\b(.*);", line):
            predicate, op, operands = found.groups()
            if op == "NOP":
                continue
            ops.append(op)
            conditional.append(bool(predicate) or bool(re.search(r"\bU?P\d", operands)))
            jump = re.search(r"\((\.L_[\w$]+)\)", operands)
            target.append(jump[1] if jump and op.startswith("BRA") else None)

    def leaves(i: int) -> bool:  # sm_80 closes some loops with "@P0 exit; BRA top"
        return i >= 0 and conditional[i] and (target[i] is None or labels.get(target[i], 0) > i)

    loops = []
    for i, name in enumerate(target):
        if name in labels and labels[name] <= i and (conditional[i] or leaves(i - 1) or leaves(i - 2)):
            loops.append(ops[labels[name] : i + 1])

    def heat(loop: list[str]) -> tuple[int, int, int]:
        count = Counter(FAMILY.get(op.split(".")[0]) for op in loop)
        return count["tensor"], count["ffma"], -len(loop)

    loops = [loop for loop in loops if len(loop) > 12]  # shorter ones wait for a barrier
    return ops, max(loops, key=heat, default=[])


def mix(loop: list[str]) -> str:
    count = Counter(FAMILY.get(op.split(".")[0], "other") for op in loop)
    return " ".join(f"{family}:{n}" for family, n in count.most_common())


def global_widths(instructions: list[str]) -> Counter[int]:
    """Accesses to global memory by their width in bits."""
    widths = Counter()
    for op in instructions:
        name, *suffixes = op.split(".")
        if name in ("LDG", "STG", "LDGSTS"):
            sizes = [int(s.lstrip("US")) for s in suffixes if re.fullmatch(r"[US]?(8|16|64|128|256)", s)]
            widths[sizes[0] if sizes else 32] += 1
    return widths


def occupy(cc: int, warps: int, registers: int, shared: int) -> tuple[int, float]:
    """How many programs fit on a multiprocessor together, and the share of its warps that they fill."""
    sm = SM[cc]
    registers_per_warp = -(-registers * 32 // 256) * 256
    reserved = 0 if cc < 80 else 1024
    by_registers = sm.registers // registers_per_warp // 4 * 4 // warps
    programs = min(sm.programs, sm.warps // warps, by_registers, sm.shared // (shared + reserved) if shared else 99)
    return programs, round(programs * warps / sm.warps, 3)


def group_norm(shape: tuple[int, ...], groups: int, dtype: torch.dtype, channels_last: bool) -> Callable[[], None]:
    """Forward and backward with SiLU, as launched."""

    def launch() -> None:
        from .group_norm.backward import backward
        from .group_norm.forward import forward

        x = torch.empty(shape, dtype=dtype, device="meta")
        if channels_last:
            x = x.to(memory_format=torch.channels_last)
        weight = torch.empty(shape[1], dtype=dtype, device="meta")
        y, mean, rstd = forward(x, weight, weight, groups, 1e-5, True)
        backward(y, x, weight, weight, mean, rstd, groups, True)

    return launch


def attention(length: int, d: int, dtype: torch.dtype, causal: bool, precision: str) -> Callable[[], None]:
    """Forward and backward, as launched, for heads that are slices of one projection, as in a transformer."""

    def launch() -> None:
        from .attention.backward import backward
        from .attention.forward import forward

        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        q, k, v = torch.empty(2, length, 3, 8, d, dtype=dtype, device="meta").permute(2, 0, 3, 1, 4)
        o, L = forward(q, k, v, causal, d**-0.5)
        backward(o, q, k, v, o, L, causal, d**-0.5)
        torch.set_float32_matmul_precision(before)

    return launch


NAMES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}


def cases() -> dict[str, tuple[Callable[[], None], int]]:
    """name -> (what to launch, from which compute capability on)."""
    found = {}
    for dtype, name in NAMES.items():
        for shape in ((2, 320, 64, 64), (2, 320, 63, 63), (2, 320, 16, 16), (2, 320, 8, 8)):
            for channels_last in (False, True):
                order = "nhwc" if channels_last else "nchw"
                title = f"group_norm {name} {order} {shape[1]}x{shape[2]}x{shape[3]}"
                found[title] = group_norm(shape, 32, dtype, channels_last), 75
        for d, length, causal in itertools.product((64, 128, 32, 40), (1024, 1023), (False, True)):
            for precision in ("highest", "high") if dtype == torch.float32 else ("highest",):
                words = [name if precision == "highest" else "tf32", f"d{d}", f"n{length}", *["causal"] * causal]
                found[" ".join(["attention", *words])] = attention(length, d, dtype, causal, precision), 80
    return found


def rows(words: list[str], capabilities: list[int]) -> Iterator[Row]:
    for title, (launch, oldest) in cases().items():
        if all(word in title for word in words):
            for cc in capabilities:
                if cc >= oldest:
                    with compiling_for(cc) as compiled:
                        launch()
                    for kernel, code in compiled:
                        yield measure(title, kernel, cc, code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only cases whose name contains all of these")
    parser.add_argument("--cc", type=int, nargs="+", default=CAPABILITIES, choices=CAPABILITIES)
    parser.add_argument("--csv", type=Path, help="write all columns to this file as well")
    options = parser.parse_args()
    shown = [name for name in Row.__dataclass_fields__ if name not in ("loop_mix", "widths", "triton", "ptxas")]
    print("".join(f"{name:>17}" if i > 1 else f"{name:<36}" for i, name in enumerate(shown)))
    writer = None
    with open(options.csv or os.devnull, "w", newline="") as file:
        for row in rows(options.words, options.cc):
            values = asdict(row)
            if writer is None:
                writer = csv.DictWriter(file, values)
                writer.writeheader()
            writer.writerow(values)
            print("".join(f"{values[name]!s:>17}" if i > 1 else f"{values[name]:<36}" for i, name in enumerate(shown)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
