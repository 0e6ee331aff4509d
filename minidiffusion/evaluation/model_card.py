r"""The model card: what a folder of weights is, how it was trained, and what it can and cannot do.

    python -m minidiffusion.evaluation.model_card build/weights

writes README.md beside the weights, from the summaries of the trainings, the evaluation (`evaluation.json`; of the
token pipeline, `tokens_evaluation.json`; of the digits, `evaluation.md`) and, if there are any, the measurements behind
the choice of schedule and sampler (`choices.md`). Only the section on limits is written by hand.
"""

import json
import math
import sys
from pathlib import Path

from minidiffusion.checkpoint import CheckpointError, explained, file_hash, write_atomically

from .report import Report

PICTUREBOOK = ("judge", "vae", "upscaler", "clip", "unet")
TOKENS = ("codebook", "tokens")
"""Two more networks that a folder may hold."""

INTRODUCTION = """\
Made by `make weights`, from nothing but this repository. This page is made by
`python -m minidiffusion.evaluation.model_card`."""

EVALUATION = """\
By `minidiffusion evaluate`. The judge is its attribute classifier (`evaluation/judge.py`). Every figure stands beside a
reference value."""

PICTUREBOOK_LIMITS = """\
The model knows only the picture book: twelve subjects, one to a picture, at 64 x 64 pixels. `minidiffusion imagine`
names the words of a prompt that it does not know; they have no defined effect. It cannot count, it does not know
relations between things, and it cannot write text. All training pictures were drawn by a program in this repository, so
they contain no photograph and no work of an artist. The judge, which measures the accuracy, was trained on the same
drawings; its figures cannot be compared with those of other models."""

DIGITS_LIMITS = """\
The model knows handwritten digits of 8 x 8 pixels, and is unconditional: no digit can be asked for. It is so small that
its likelihood can be computed in seconds; its figures say nothing about larger models. The digits are those of
E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, licence CC BY 4.0."""


def card(weights: Path) -> str:
    r"""The card's text. Raises CheckpointError if a training, the evaluation or a network is missing."""
    if (weights / "training" / "digits").exists():
        kind, networks, limits = "digits", ("digits",), DIGITS_LIMITS
        evaluation = ["By `python benchmarks/digits.py`.", read(weights / "evaluation.md")]
    else:
        kind, networks, limits = "picturebook", PICTUREBOOK, PICTUREBOOK_LIMITS
        evaluation = [EVALUATION, table(weights / "evaluation.json")]
    if (weights / "tokens.json").exists():
        networks += TOKENS
        evaluation += ["### The token pipeline", table(weights / "tokens_evaluation.json")]
    if (weights / "choices.md").exists():
        evaluation += ["## Choices", read(weights / "choices.md")]
    runs = {name: json.loads(read(weights / "training" / name / "summary.json")) for name in networks}
    settings = json.dumps({name: run["settings"] for name, run in runs.items()}, indent=1)
    trainings = ["| network | parameters | steps | batch | processes | pictures | minutes | seed |", "|---" * 8 + "|"]
    for name, run in runs.items():
        parameters, recipe = sum(map(math.prod, run["shape"].values())), run["recipe"]
        trainings.append(
            f"| {name} | {parameters / 1e6:.2f} million | {recipe['steps']} | {recipe['batch']} | {run['processes']} "
            f"| {run['pictures']} | {run['seconds'] / 60:.0f} | {recipe['seed']} |"
        )
    files = ["| file | bytes | SHA-256 |", "|---|---|---|"]
    for path in sorted([*weights.glob("*.json"), *weights.glob("*.safetensors")]):
        files.append(f"| {path.name} | {path.stat().st_size} | `{file_hash(path)}` |")
    sections = [f"# Weights: {kind}", INTRODUCTION, "## Training", "\n".join(trainings)]
    sections += ["All settings, as the trainings recorded them:", f"```json\n{settings}\n```"]
    sections += ["## Evaluation", *evaluation, "## Limits", limits, "## Files", "\n".join(files)]
    return "\n\n".join(sections) + "\n"


def table(path: Path) -> str:
    return Report.from_json(read(path)).table()


def read(path: Path) -> str:
    with explained("read", path):
        return path.read_text().strip()


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m minidiffusion.evaluation.model_card FOLDER", file=sys.stderr)
        return 2
    weights = Path(sys.argv[1])
    try:
        write_atomically(weights / "README.md", card(weights).encode())
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
