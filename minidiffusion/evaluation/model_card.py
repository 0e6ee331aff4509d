r"""The model card: what a folder of weights is, how it came about, and what it can and cannot do.

    python -m minidiffusion.evaluation.model_card build/weights

gathers it from the trainings' summaries, from the examination (`evaluation.md`; where there are tokens, their own:
`tokens_evaluation.md`) and, if there are any, from the measurements that decided how it was made (`choices.md`), and
writes README.md beside the weights. Nothing in a card is typed by hand but the limits.
"""

import json
import math
import sys
from pathlib import Path

from minidiffusion.checkpoint import CheckpointError, explained, file_hash, write_atomically

PICTUREBOOK_LIMITS = """\
The model knows the picture book and nothing else: twelve subjects, one to a picture, at 64 x 64 pixels. Words from
outside are named by `minidiffusion imagine` and otherwise ignored. It has no notion of counting, of relations between
things, or of text in pictures. All training pictures were drawn by this repository's own program, so no photograph and
nobody's art is in it. The judge that gives the marks was trained on the same drawings; its marks mean something in this
world only.
"""

DIGITS_LIMITS = """\
The model knows handwritten digits of 8 x 8 pixels, and cannot be asked for a certain one. It was made so small that its
likelihood can be computed in seconds; its pictures prove nothing about larger models. The digits are those of
E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, licence CC BY 4.0.
"""

KINDS = {
    "picturebook": (("judge", "vae", "upscaler", "clip", "unet"), "`minidiffusion evaluate`", PICTUREBOOK_LIMITS),
    "digits": (("digits",), "`python benchmarks/digits.py`", DIGITS_LIMITS),
}
OTHER_ROAD = ("codebook", "tokens")
"""Two more networks that a folder may hold."""


def card(weights: Path) -> str:
    r"""The card's text. Raises CheckpointError if a training, the evaluation or a network is missing."""
    kind = "digits" if (weights / "training" / "digits").exists() else "picturebook"
    networks, examination, limits = KINDS[kind]
    if tokens := (weights / "tokens.json").exists():
        networks += OTHER_ROAD
    lines = [
        f"# Weights: {kind}",
        "",
        "Made by `make weights`, from nothing but this repository. This page is made by",
        "`python -m minidiffusion.evaluation.model_card`.",
        "",
        "## Training",
        "",
        "| network | parameters | steps | batch | processes | pictures | minutes | seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    settings = {}
    for name in networks:
        run = json.loads(read(weights / "training" / name / "summary.json"))
        settings[name] = run["settings"]
        recipe = run["recipe"]
        parameters = sum(map(math.prod, run["shape"].values()))
        lines.append(
            f"| {name} | {parameters / 1e6:.2f} million | {recipe['steps']} | {recipe['batch']} | {run['processes']} "
            f"| {run['pictures']} | {run['seconds'] / 60:.0f} | {recipe['seed']} |"
        )
    lines += ["", "The whole recipe, as the trainings recorded it:", "", "```json"]
    lines += [json.dumps(settings, indent=1), "```", "", "## Examination", ""]
    lines += [f"Of {examination}; every figure stands beside its yardstick.", ""]
    lines += [read(weights / "evaluation.md")]
    if tokens:
        lines += ["", "### Of pictures that are written as tokens", "", read(weights / "tokens_evaluation.md")]
    if (weights / "choices.md").exists():
        lines += ["", "## Choices", "", read(weights / "choices.md")]
    lines += ["", "## Limits", "", limits, "## Files", "", "| file | bytes | SHA-256 |", "|---|---|---|"]
    for path in sorted([*weights.glob("*.json"), *weights.glob("*.safetensors")]):
        lines.append(f"| {path.name} | {path.stat().st_size} | `{file_hash(path)}` |")
    return "\n".join(lines) + "\n"


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
