r"""The table of figures, on the screen and as CSV. See the head of this package."""

import argparse
import csv
import os
from dataclasses import asdict, fields
from pathlib import Path

from minidiffusion_kernels.codegen import __doc__ as usage
from minidiffusion_kernels.codegen.cases import CAPABILITIES, cases
from minidiffusion_kernels.codegen.measure import Row, rows

HIDDEN = ("loop_mix", "widths", "triton", "ptxas")  # on the screen; the CSV has every column
WIDTH = {"case": 36, "kernel": 20}


def line(values: dict[str, object]) -> str:
    return " ".join(f"{value!s:<{WIDTH[name]}}" if name in WIDTH else f"{value!s:>{max(7, len(name))}}"
                    for name, value in values.items() if name not in HIDDEN)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m minidiffusion_kernels.codegen",
        description=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help="only cases whose name contains all of these")
    parser.add_argument("--cc", type=int, nargs="+", default=CAPABILITIES, choices=CAPABILITIES)
    parser.add_argument("--csv", type=Path, help="write all columns to this file as well")
    options = parser.parse_args()
    names = [field.name for field in fields(Row)]
    print(line({name: name for name in names}))
    with open(options.csv or os.devnull, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in rows(cases(options.words), options.cc):
            writer.writerow(asdict(row))
            print(line(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
