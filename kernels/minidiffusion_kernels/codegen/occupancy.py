r"""How many programs a multiprocessor works on at the same time.

While one waits for memory another can calculate. How many fit is limited by four things that they share:

    programs = min(most programs, warps / its warps, registers / its registers, shared memory / its shared memory)
    occupancy = programs * warps of a program / most warps

Registers and shared memory are given out in lumps, and each quarter of a multiprocessor has its own registers (CUDA C++
Programming Guide, "Compute Capabilities", technical specifications; CUDA Occupancy Calculator for the lumps).
"""

from dataclasses import dataclass

REGISTERS, QUARTERS = 65536, 4  # 32-bit registers of a multiprocessor, and the parts that they are divided among
REGISTER_LUMP = 256  # a warp's registers are a multiple of this


@dataclass(frozen=True)
class Multiprocessor:
    """The most that it can hold at once; shared memory in bytes, of which each program costs `reserved` more."""

    warps: int
    programs: int
    shared: int
    reserved: int = 1024
    shared_lump: int = 128


MULTIPROCESSORS = {
    75: Multiprocessor(32, 16, 64 << 10, reserved=0, shared_lump=256),  # T4
    80: Multiprocessor(64, 32, 164 << 10),  # A100
    86: Multiprocessor(48, 16, 100 << 10),  # A10, GeForce 30
    89: Multiprocessor(48, 24, 100 << 10),  # L4, GeForce 40
    90: Multiprocessor(64, 32, 228 << 10),  # H100
    100: Multiprocessor(64, 32, 228 << 10),  # B200
    120: Multiprocessor(48, 24, 100 << 10),  # GeForce 50
}


def up_to(lump: int, n: int) -> int:
    """n, rounded up to a multiple of `lump`."""
    return -(-n // lump) * lump


def occupancy(cc: int, warps: int, registers: int, shared: int) -> tuple[int, float]:
    r"""Programs at once, and the share of the warps that they fill.

    `cc`: compute capability (80 is 8.0); of one program: `warps`, `registers` a thread, `shared` memory in bytes.
    """
    sm = MULTIPROCESSORS[cc]
    warps_by_registers = REGISTERS // QUARTERS // up_to(REGISTER_LUMP, 32 * registers) * QUARTERS
    programs = min(sm.programs, sm.warps // warps, warps_by_registers // warps)
    if lump := up_to(sm.shared_lump, shared + sm.reserved):
        programs = min(programs, sm.shared // lump)
    return programs, round(programs * warps / sm.warps, 3)
