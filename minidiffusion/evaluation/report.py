r"""What an examination found: the figures, as a table to read and as JSON to compute with."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidiffusion.evaluation.metrics import wilson_interval


@dataclass(frozen=True)
class Share:
    r"""`right` out of `n`, never without the interval in which the true share lies with 95 % confidence."""

    right: int
    n: int

    @property
    def percent(self) -> str:
        return f"{100 * self.right / self.n:.1f}" if self.n else "none"

    def __str__(self) -> str:
        low, high = wilson_interval(self.right, self.n)
        return f"{self.percent} ({100 * low:.1f} to {100 * high:.1f})" if self.n else "none"


@dataclass(frozen=True)
class Neighbours:
    r"""How near pictures lie to the nearest training picture: medians of the root-mean-square pixel difference.

    An autoencoder smooths pictures, which alone brings them nearer to others; the fair yardstick is a real render that
    it has rebuilt. `closer` counts the generated pictures that are nearer to a training picture than all but 1 % of
    those.
    """

    generated: float
    rebuilt: float
    real: float
    closer: Share

    @property
    def ratio(self) -> float:
        return self.generated / self.rebuilt

    @property
    def copies(self) -> bool:
        r"""True if more than 5 % lie where 1 % should, beyond doubt: the model recites instead of composing."""
        return wilson_interval(self.closer.right, self.closer.n)[0] > 0.05


@dataclass(frozen=True)
class Report:
    r"""The figures of `evaluate`. Groups of pictures -> attributes -> shares; styles -> decibel; and so on."""

    obeyed: dict[str, dict[str, Share]]
    """generated pictures: attributes that the prompt names and the judge finds"""
    ceiling: dict[str, dict[str, Share]]
    """real renders: attributes that the judge finds"""
    frechet: dict[str, float]
    """distance, in judge features, to the reference set of real renders"""
    neighbours: Neighbours
    spread: dict[str, dict[str, float]]
    """in "pixels" and in judge "features": of "generated" pictures of one prompt, and of "real" ones it is true of"""
    psnr: dict[str, float]
    """reconstruction by the autoencoder, in decibel: each style, and the mean"""
    seconds: dict[str, float]
    settings: dict[str, Any]
    machine: dict[str, Any]

    def table(self) -> str:
        r"""All figures as Markdown."""
        near = self.neighbours
        worst = min(self.psnr, key=self.psnr.__getitem__)
        return "\n\n".join([
            f"Prompts obeyed, percent (95 % interval); {self.settings['how']}",
            _columns({group: {name: str(x) for name, x in found.items()} for group, found in self.obeyed.items()}),
            "The judge on real renders, percent: the ceiling of the table above",
            _columns({group: {name: x.percent for name, x in found.items()} for group, found in self.ceiling.items()}),
            "Fréchet distance to real renders in judge features (lower is nearer; the last line is the floor). "
            "Rebuilt is what has gone through the autoencoder",
            _rows({name: f"{x:.3f}" for name, x in self.frechet.items()}),
            "Distance to the nearest training picture (median of RMS pixel differences; black to white is 2)",
            _rows({
                "generated": f"{near.generated:.3f}",
                "real, rebuilt": f"{near.rebuilt:.3f}",
                "real": f"{near.real:.3f}",
                "generated : real, rebuilt": f"{near.ratio:.2f}",
                "generated nearer than 99 % of real, rebuilt": f"{near.closer} %",
                "is it copying?": "YES" if near.copies else "no",
            }),
            "Spread of four pictures of one prompt, beside real renders of which the prompt is true",
            _columns({
                unit: {**{who: f"{x:.3f}" for who, x in by.items()}, "ratio": f"{by['generated'] / by['real']:.2f}"}
                for unit, by in self.spread.items()
            }),
            f"Reconstruction by the autoencoder on real renders, PSNR in dB (worst: {worst})",
            _rows({name: f"{x:.1f}" for name, x in self.psnr.items()}),
            "Seconds, warm, on " + ", ".join(f"{name} {x}" for name, x in self.machine.items()),
            _rows({name: f"{x:.2f}" for name, x in self.seconds.items()}),
        ])  # fmt: skip

    def to_json(self) -> str:
        r"""All figures as JSON text; shares with their intervals."""
        return json.dumps(vars(self), indent=2, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Share):
        low, high = wilson_interval(value.right, value.n)
        return {"right": value.right, "n": value.n, "low": low, "high": high}
    if isinstance(value, Neighbours):
        return {**vars(value), "ratio": value.ratio, "copies": value.copies}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")


def _columns(columns: dict[str, dict[str, str]]) -> str:
    r"""A Markdown table: heading -> row name -> cell."""
    names = next(iter(columns.values()))
    table = [["", *columns]] + [[name, *(column[name] for column in columns.values())] for name in names]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    table.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in table]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def _rows(rows: dict[str, str]) -> str:
    return _columns({"": rows})
