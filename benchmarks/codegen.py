r"""What do the kernels become on a GPU? Registers, spills and loops, read from the machine code; nothing is timed.

    python benchmarks/codegen.py            compile, write results/codegen.csv, then as below
    python benchmarks/codegen.py --redraw   from the CSV: results/codegen.png, and the tables in kernels/README.md

Compiled are all cases in float16 and one size of the other dtypes, for seven generations of cards: ten minutes on one
core. `python -m minidiffusion_kernels.codegen` compiles any others.
"""

import argparse
import csv
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from minidiffusion.viz.base import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from minidiffusion_kernels.codegen.cases import CAPABILITIES, Case, cases
from minidiffusion_kernels.codegen.measure import Row, rows

ROOT = Path(__file__).parents[1]
CSV, PNG = (ROOT / "benchmarks" / "results" / name for name in ("codegen.csv", "codegen.png"))
README = ROOT / "kernels" / "README.md"
BEGIN, END = "<!-- tables: written by benchmarks/codegen.py -->\n", "<!-- end of tables -->\n"

CARDS = {75: "T4", 80: "A100", 86: "A10", 89: "L4", 90: "H100", 100: "B200", 120: "GeForce 50"}
D64, D128 = "attention fp16 d64 n1024 full", "attention fp16 d128 n1024 full"
NORM, NORM32 = "group_norm fp16 nchw 320x64x64", "group_norm fp32 nchw 320x64x64"
TUTORIAL, LIGER, GEMS = "Triton tutorial 06", "Liger-Kernel forward", "FlagGems forward"

# What is compared: our case, the kernels by their last word, and the card; then the other kernel, compiled with Triton
# 3.7.1 for the same shape: bytes that a thread stores for want of registers, and the hot loop where tiles are the same.
BESIDE = (
    ("attention forward, width 64", D64, "kernel", 80, TUTORIAL, "8", "708"),
    ("attention forward, width 64", D64, "kernel", 90, TUTORIAL, "0", "502"),
    ("attention backward, width 64", D64, "gradient", 80, TUTORIAL, "300", ""),
    ("attention backward, width 64", D64, "gradient", 90, TUTORIAL, "44", ""),
    ("attention backward, width 128", D128, "gradient", 80, TUTORIAL, "21,140", ""),
    ("attention backward, width 128", D128, "gradient", 90, TUTORIAL, "2,216", ""),
    ("GroupNorm, both ways", NORM, "", 80, f"{LIGER}; {GEMS}", "17,856; 5,252", ""),
    ("GroupNorm, both ways", NORM, "", 90, f"{LIGER}; {GEMS}", "21,216; 5,180", ""),
    ("GroupNorm in float32, both ways", NORM32, "", 80, LIGER, "20,388", ""),
    ("GroupNorm in float32, both ways", NORM32, "", 90, LIGER, "22,004", ""),
)

# What instructions of a loop are for, as drawn: the families of codegen/sass.py, and a colour
PARTS = {
    "products of matrices (tensor cores)": (("tensor",), BLUE),
    "exponentials (special functions)": (("mufu",), VERMILION),
    "float32 arithmetic": (("ffma", "fadd", "fmul", "max", "select"), ORANGE),
    "rounding to half precision": (("convert",), PURPLE),
    "shared memory": (("shared", "shuffle"), GREEN),
    "global memory": (("global",), SKY),
    "addresses, counters, waiting": (("other", "barrier", "spill"), "#999999"),
}


def chosen() -> dict[str, Case]:
    """Every case in float16, and of the other dtypes the one that a U-Net needs most."""
    usual = (" d64 n1024 ", " 320x64x64")
    return {name: case for name, case in cases().items() if " fp16 " in name or any(u in f"{name} " for u in usual)}


def write_csv(path: Path, measured: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in measured)


def read_csv(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**{field.name: field.type(line[field.name]) for field in fields(Row)})  # pyright: ignore
                for line in csv.DictReader(file)]  # fmt: skip


# ------------------------------------------------------------------------------------------------- tables


def tables(measured: list[Row]) -> str:
    return f"{beside(measured)}\n{everything(measured)}"


def beside(measured: list[Row]) -> str:
    """Our kernels and the best-known open ones. Where ours are several, the one with the most."""
    heads = ["", "card", "ours: registers", "spilled", "hot loop", "beside it", "spilled", "hot loop"]
    lines = [heads, ["---", "---", "---:", "---:", "---:", "---", "---:", "---:"]]
    for what, case, last_word, cc, name, spilled, loop in BESIDE:
        mine = [r for r in measured if (r.case, r.cc) == (case, cc) and r.kernel.endswith(last_word)]
        figures = max(r.registers for r in mine), max(r.spills for r in mine), max(r.loop for r in mine) if loop else ""
        lines.append([what, CARDS[cc], *map(str, figures), name, spilled, loop])
    return markdown(lines)


def everything(measured: list[Row]) -> str:
    """The largest figure of all kernels, on each card."""
    lines = [["the most of all kernels", *CARDS.values()], ["---", *["---:"] * len(CARDS)]]
    for operation, name in (("attention", "attention"), ("group_norm", "GroupNorm")):
        mine = [[r for r in measured if r.cc == cc and r.case.startswith(operation)] for cc in CARDS]
        for column, unit in (
            ("registers", "registers"),
            ("spills", "bytes spilled"),
            ("shared", "shared memory, bytes"),
        ):
            most = [f"{max(getattr(r, column) for r in found):,}" if found else "" for found in mine]
            lines.append([f"{name}: {unit}", *most])
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(page: str, measured: list[Row]) -> str:
    """The page with fresh tables between its two remarks."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN.strip()} with {END.strip()} after it")
    return f"{before}{BEGIN}\n{tables(measured)}\n{END}{after}"


# ------------------------------------------------------------------------------------------------- the figure


def plot(measured: list[Row], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), width_ratios=[3, 2], layout="constrained")
    plot_loops(left, [r for r in measured if r.case == D64 and r.cc in (80, 90)])
    plot_registers(right, [r for r in measured if " fp16 " in r.case and r.cc in (80, 90)])
    title = f"The kernels in machine code, compiled by Triton {measured[0].triton} and not run: no figure is a time"
    figure.suptitle(title, fontsize=12)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_loops(ax: Axes, measured: list[Row]) -> None:
    """What the hot loop consists of: one bar for a kernel on a card."""
    measured = sorted(measured, key=lambda r: kernels(measured).index(r.kernel))
    labels = [f"{r.kernel.removesuffix('_kernel').replace('_', ' ')}, {CARDS[r.cc]}\n{r.tile} tile" for r in measured]
    left = [0] * len(measured)
    for name, (families, colour) in PARTS.items():
        mixes = [Counter({k: int(n) for k, n in (pair.split(":") for pair in r.loop_mix.split())}) for r in measured]
        counts = [sum(mix[family] for family in families) for mix in mixes]
        bars = ax.barh(labels, counts, left=left, color=colour, label=name, edgecolor="white", linewidth=0.6)
        ax.bar_label(bars, [str(n) if n >= 23 else "" for n in counts], label_type="center", fontsize=8)
        left = [a + b for a, b in zip(left, counts, strict=True)]
    for y, row in enumerate(measured):
        ax.text(row.loop + 6, y, str(row.loop), va="center", fontsize=9)
    ax.set(xlabel="instructions of the hot loop, which works on one tile", xlim=(0, 1.08 * max(left)))
    ax.set_title("attention in float16, heads of width 64", fontsize=10)
    ax.invert_yaxis()
    ax.legend(fontsize=8, loc="lower right")


def plot_registers(ax: Axes, measured: list[Row]) -> None:
    """The registers of a thread, in every case; 255 is the most that an instruction can name."""
    names = kernels(measured)
    for cc, marker, colour, shift in ((80, "o", BLUE, -0.16), (90, "^", VERMILION, 0.16)):
        mine = [r for r in measured if r.cc == cc]
        heights = [names.index(r.kernel) + shift for r in mine]
        ax.scatter([r.registers for r in mine], heights, marker=marker, color=colour, alpha=0.6, s=26, label=CARDS[cc])
    ax.axvline(255, color="black", linewidth=1)
    ax.text(252, len(names) - 0.45, "the most: 255", rotation=90, ha="right", va="bottom", fontsize=8)
    ax.set_yticks(range(len(names)), [name.removesuffix("_kernel").replace("_", " ") for name in names])
    ax.set(xlabel="registers of a thread", xlim=(0, 265))
    ax.set_title("every kernel in float16, one mark for a case", fontsize=10)
    ax.grid(axis="x", alpha=0.3)
    ax.invert_yaxis()
    ax.legend(fontsize=8, loc="center")


def kernels(measured: list[Row]) -> list[str]:
    """Their names, attention first."""
    ordered = sorted(measured, key=lambda r: not r.case.startswith("attention"))
    return list(dict.fromkeys(r.kernel for r in ordered))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="compile nothing; start from the CSV")
    if not parser.parse_args().redraw:
        start, measured = time.perf_counter(), []
        for name, case in chosen().items():
            measured += rows({name: case}, list(CAPABILITIES))
            print(f"{time.perf_counter() - start:5.0f} s, {len(measured):4} kernels: {name}", flush=True)
        write_csv(CSV, measured)
    measured = read_csv(CSV)
    plot(measured, PNG)
    README.write_text(with_tables(README.read_text(encoding="utf-8"), measured), encoding="utf-8")


if __name__ == "__main__":
    main()
