r"""The measurements behind the shipped model's schedule, prediction, weighting and sampler, as two tables for its card.

    python benchmarks/choices.py        # reads results/objectives.csv and results/samplers.csv

Neither is measured here; see benchmarks/objectives.py and benchmarks/samplers.py.
"""

from collections.abc import Iterable

from benchmarks.harness import RESULTS, read_csv

TRAINING = {"subject right": "subject", "colour right": "colour", "place right": "place"}
CALLS = (6, 10, 15, 25, 50)
ACCURACY, DISTANCE = "all attributes right", "RMS difference from many calls"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    header = [*header]
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def choice(row: dict[str, str]) -> str:
    return ", ".join(row[what] for what in ("schedule", "prediction", "weighting"))


def objectives(rows: list[dict[str, str]]) -> list[str]:
    r"""One row a choice of schedule, prediction and weighting: the shares of attributes drawn as the prompt says."""
    found = {(choice(row), row["metric"]): float(row["value"]) for row in rows}
    choices = dict.fromkeys(choice(row) for row in rows)
    lines = ([name, *(f"{found[name, metric]:.0%}" for metric in TRAINING)] for name in choices)
    return table(["schedule, prediction, weighting", *(f"{name} right" for name in TRAINING.values())], lines)


def samplers(rows: list[dict[str, str]]) -> list[str]:
    r"""One row a sampler, by calls: prompts with all attributes right, and the distance from the ODE's solution."""
    rows = [row for row in rows if row["part"] == "pictures"]

    def at(sampler: str, calls: int, metric: str) -> str:
        near = [
            r for r in rows if (r["sampler"], r["metric"]) == (sampler, metric) and calls - 2 < int(r["calls"]) <= calls
        ]
        return f"{float(near[-1]['value']):{'.0%' if metric == ACCURACY else '.3f'}}" if near else ""

    def cell(sampler: str, calls: int) -> str:
        return "; ".join(filter(None, (at(sampler, calls, ACCURACY), at(sampler, calls, DISTANCE))))

    names = dict.fromkeys(row["sampler"] for row in rows)
    return table(
        ["sampler", *(f"{calls} calls" for calls in CALLS)], ([n, *(cell(n, c) for c in CALLS)] for n in names)
    )


TRAINED = """\
Schedule, prediction and weighting: each trained for 500 steps of 96 pictures, nothing else changed, and 256 prompts
drawn (`python benchmarks/objectives.py`). Differences below some eight points may be chance.
"""

SAMPLED = """\
Samplers by calls of the network (`python benchmarks/samplers.py`), measured on the model that was shipped before this
one and had the same U-Net: the share of prompts with all attributes right; and, for samplers that draw no noise, the
distance of the picture from that of 150 calls (RMS; black to white is 2).
"""


def main() -> None:
    trained, sampled = read_csv(RESULTS / "objectives.csv"), read_csv(RESULTS / "samplers.csv")
    print(TRAINED, *objectives(trained), "", SAMPLED, *samplers(sampled), sep="\n")
    print(f"\nOn {trained[0]['device']} (training) and {sampled[0]['device']} (sampling).")


if __name__ == "__main__":
    main()
