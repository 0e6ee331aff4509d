r"""One row of figures for one compiled kernel: `ptxas` reports registers and spills, `nvdisasm` lists instructions."""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import triton
from triton import knobs
from triton.backends.nvidia.compiler import get_ptxas

from minidiffusion_kernels.codegen import sass, widths
from minidiffusion_kernels.codegen.cases import Case
from minidiffusion_kernels.codegen.compile import Launch, compiling_for
from minidiffusion_kernels.codegen.occupancy import occupancy


@dataclass(frozen=True)
class Row:
    """One kernel, compiled for one generation. Counts are instructions in the machine code, not executed ones."""

    case: str
    kernel: str
    cc: int
    tile: str
    warps: int
    stages: int
    registers: int  # a thread; 255 is the most
    spills: int  # bytes that a thread stores to and loads from memory for want of registers
    shared: int  # bytes a program
    programs_per_sm: int
    occupancy: float
    instructions: int
    hmma: int  # tensor cores: a warp at a time
    hgmma: int  # four warps at a time, from shared memory (9.0)
    utcmma: int  # from and to a memory of their own (10.x)
    mufu: int  # special functions: exp2, log2, rcp, rsqrt
    atomics: int  # on global memory
    bits128: float  # of the bytes of all accesses to tiles, the share that moves 128 bits at a time; nan: no tiles
    loop: int  # instructions of the hot loop; 0: no loop
    loop_mix: str
    widths: str  # of all accesses to global memory, in bits
    triton: str
    ptxas: str


def rows(cases: dict[str, Case], capabilities: list[int]) -> Iterator[Row]:
    """Compile each case for each generation that it is for, and measure each kernel."""
    for title, case in cases.items():
        for cc in capabilities:
            if cc >= case.oldest:
                with compiling_for(cc) as launches:
                    case.launch()
                for launch in launches:
                    yield measure(title, cc, launch)


def measure(case: str, cc: int, launch: Launch) -> Row:
    code, options = launch.code, launch.code.metadata
    registers = int(re.search(r"Used (\d+) registers", launch.report)[1])
    instructions = sass.read(disassembled(code.asm["cubin"]))
    count, loop = Counter(x.name for x in instructions), sass.hot_loop(instructions)
    # With the warps that the compiler may have added to the ones asked for
    threads = int(re.search(r"\.(?:reqntid|maxntid)\s+(\d+)", code.asm["ptx"])[1])
    programs, share_of_warps = occupancy(cc, threads // 32, registers, options.shared)
    return Row(
        case=case,
        kernel=launch.kernel,
        cc=cc,
        tile=launch.tile,
        warps=options.num_warps,
        stages=options.num_stages,
        registers=registers,
        spills=sum(int(n) for n in re.findall(r"(\d+) bytes spill (?:stores|loads)", launch.report)),
        shared=options.shared,
        programs_per_sm=programs,
        occupancy=share_of_warps,
        instructions=len(instructions),
        hmma=count["HMMA"],
        hgmma=count["HGMMA"],
        utcmma=count["UTCHMMA"],
        mufu=count["MUFU"],
        atomics=sum(count[op] for op in sass.ATOMIC),
        bits128=widths.share(widths.tile_accesses(instructions, code.asm["ttgir"]), 128),
        loop=len(loop),
        loop_mix=" ".join(f"{family}:{n}" for family, n in sass.families(loop).most_common()),
        widths=" ".join(f"{bits}:{n}" for bits, n in sorted(widths.widths(instructions).items())),
        triton=triton.__version__,
        ptxas=version(get_ptxas(cc).path),
    )


def disassembled(cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return run(knobs.nvidia.nvdisasm.path, "-g", "-c", file.name)


@cache
def version(ptxas: str) -> str:
    return re.search(r"V([\d.]+)", run(ptxas, "--version"))[1]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:]}")
    return done.stdout + done.stderr
