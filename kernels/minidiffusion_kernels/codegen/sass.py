r"""Reading a disassembly: its instructions, its loops, and what the hot one consists of.

`nvdisasm -g -c` prints an instruction a line, with labels where something jumps to, and before instructions that come
from another line of the source a remark:

    .L_x_1:
            //## File "group_norm/forward.py", line 40
            /*0ab0*/               @P0 LDG.E.128 R12, [R10.64] ;
            /*0ac0*/               @P1 BRA `(.L_x_1) ;

Counted are instructions in the code, each once, however often it is executed. The hot loop is executed most: its length
is what the work of one tile costs.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

TENSOR = ("HMMA", "HGMMA", "UTCHMMA")  # products of matrices on 7.x to 8.x and 12.x; on 9.0; on 10.x
ATOMIC = ("ATOM", "ATOMG", "RED", "REDG")  # on global memory, where programs meet
FAMILY = {
    **dict.fromkeys(TENSOR, "tensor"), "MUFU": "mufu", "FFMA": "ffma", "FFMA2": "ffma", "FADD": "fadd", "FADD2": "fadd",
    "FMUL": "fmul", "FMUL2": "fmul", "FMNMX": "max", "FSEL": "select", "F2F": "convert", "F2FP": "convert",
    "LDG": "global", "STG": "global", "LDGSTS": "global", "LDS": "shared", "STS": "shared", "LDSM": "shared",
    "STSM": "shared", "SHFL": "shuffle", "BAR": "barrier", "SYNCS": "barrier", "LDL": "spill", "STL": "spill",
}  # fmt: skip

LABEL = re.compile(r"\s*(\.L_[\w$]+):")
SOURCE = re.compile(r'\s*//## File "([^"]+)", line (\d+)')
INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]+\*/\s*(@!?U?P\w+)?\s*([A-Z][\w.]*)(.*);")
LEAVING = ("BRA", "EXIT", "CALL", "BREAK")
SHORT = 12  # a loop of so few instructions waits for a barrier


class Instruction(NamedTuple):
    op: str  # with its suffixes: "LDG.E.128"
    conditional: bool
    target: int | None  # the index of the instruction that it names, as a jump does
    source: str  # "file:line"

    @property
    def name(self) -> str:
        return self.op.split(".")[0]


def read(listing: str) -> list[Instruction]:
    """All instructions but the padding."""
    found, labels, source = [], {}, ""
    for line in listing.splitlines():
        if label := LABEL.match(line):
            labels[label[1]] = len(found)
        elif remark := SOURCE.match(line):
            source = f"{remark[1]}:{remark[2]}"
        elif (parts := INSTRUCTION.match(line)) and parts[2] != "NOP":
            predicate, op, operands = parts.groups()
            named = re.search(r"\((\.L_[\w$]+)\)", operands)
            conditional = predicate is not None or re.search(r"\bU?P\d", operands) is not None
            found.append((op, conditional, named and named[1], source))
    return [Instruction(op, conditional, labels.get(name), source) for op, conditional, name, source in found]


def loops(instructions: list[Instruction]) -> list[range]:
    """The loops that contain no other one, as ranges of indices.

    A loop reaches from a label to the last jump back to it. The jump has a condition, or a conditional exit stands
    right before it (sm_80 closes some loops with "@P0 exit; BRA top"); others return from a wait to the main path.
    """

    def leaves(i: int) -> bool:
        x = instructions[max(i, 0)]
        return x.conditional and x.name in LEAVING and (x.target is None or x.target > i)

    ends = {}
    for i, jump in enumerate(instructions):
        back = jump.name == "BRA" and jump.target is not None and jump.target <= i
        if back and (jump.conditional or leaves(i - 1) or leaves(i - 2)):
            ends[jump.target] = i + 1
    found = [range(start, end) for start, end in ends.items() if end - start > SHORT]
    return [loop for loop in found if not any(loop != x and loop[0] <= x[0] and x[-1] <= loop[-1] for x in found)]


def hot_loop(instructions: list[Instruction]) -> list[Instruction]:
    """The loop with the most tensor-core instructions, then with the most multiply-adds; empty if there is none.

    Of equals it is the shortest: the loop without masks, which runs for nearly all tiles.
    """

    def heat(body: list[Instruction]) -> tuple[int, int, int]:
        count = families(body)
        return count["tensor"], count["ffma"], -len(body)

    return max(([instructions[i] for i in loop] for loop in loops(instructions)), key=heat, default=[])


def families(instructions: Iterable[Instruction]) -> Counter[str]:
    return Counter(FAMILY.get(x.name, "other") for x in instructions)
