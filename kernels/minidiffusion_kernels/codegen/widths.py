r"""How wide the accesses to global memory are. A thread moves up to 128 bits with one instruction, if the compiler can
prove that the numbers are neighbours and aligned; moving halves one by one takes eight times the instructions.

What matters are tiles: the other accesses fetch one number for a whole row or channel, and many threads the same. Which
are which is lost in the machine code, but both it and Triton's own representation, where the addresses of a tile are a
matrix (`tensor<64x32x!tt.ptr<f16>>`), tell the line of the source.
"""

import re
from collections import Counter
from collections.abc import Iterable

from minidiffusion_kernels.codegen.sass import Instruction

ACCESS = re.compile(r"(?:tt\.load|tt\.store|ttg\.async_copy_global_to_local) .*: tensor<\d+x\d+x!tt\.ptr<.*(#loc\d*)\)")


def widths(instructions: Iterable[Instruction]) -> Counter[int]:
    """Accesses to global memory by their width in bits: 32 where the instruction names none."""
    found = Counter()
    for x in instructions:
        if x.name in ("LDG", "STG", "LDGSTS"):
            sizes = [int(s.lstrip("US")) for s in x.op.split(".") if re.fullmatch(r"[US]?(8|16|64|128|256)", s)]
            found[sizes[0] if sizes else 32] += 1
    return found


def tile_accesses(instructions: Iterable[Instruction], ttgir: str) -> Counter[int]:
    """The same of those that move a tile, according to the kernel's TritonGPU representation."""
    lines = tile_lines(ttgir)
    return widths(x for x in instructions if x.source in lines)


def tile_lines(ttgir: str) -> set[str]:
    """ "file:line" of every access to a matrix of addresses."""
    places = dict(re.findall(r"^(#loc\d*) = loc\((.*)\)$", ttgir, re.MULTILINE))

    def line(place: str) -> str:  # a place is a file with its line and column, or names the place that it is in
        known = re.match(r'"([^"]+)":(\d+)', places[place])
        return f"{known[1]}:{known[2]}" if known else line(re.search(r"#loc\d*", places[place])[0])

    return {line(place) for place in ACCESS.findall(ttgir)}


def share(found: Counter[int], bits: int) -> float:
    """Of the bytes that these accesses move, those that move so many bits at a time; nan if there is no access."""
    moved = sum(width * n for width, n in found.items())
    return round(bits * found[bits] / moved, 3) if moved else float("nan")
