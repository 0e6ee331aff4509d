r"""The figures of an evaluation: as a table to read, and as JSON to compute with."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .metrics import wilson_interval

KEYS = {"accuracy": "obeyed", "diversity": "spread"}
"""Fields of `Report` that have another name in JSON."""


@dataclass(frozen=True)
class Share:
    r"""`right` out of `n`, always shown with the 95 % confidence interval."""

    right: int
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.right, self.n)

    @property
    def percent(self) -> str:
        return f"{100 * self.right / self.n:.1f}" if self.n else "none"

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.percent} ({100 * low:.1f} to {100 * high:.1f})" if self.n else "none"


@dataclass(frozen=True)
class Neighbours:
    r"""Distances to the nearest training picture: medians of the root-mean-square pixel difference.

    An autoencoder smooths pictures, which alone brings them nearer to others; so generated pictures are compared with
    reconstructed real renders. `closer` counts the generated pictures that are nearer to a training picture than 99 %
    of those.
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
        r"""True if significantly more than 5 % lie where 1 % should: the model memorises training pictures."""
        return self.closer.interval[0] > 0.05


@dataclass(frozen=True)
class Report:
    r"""The figures of `evaluate`. Groups of pictures -> attributes -> shares; styles -> decibels; and so on."""

    accuracy: dict[str, dict[str, Share]]
    """generated pictures: attributes that the prompt mentions and the judge finds"""
    ceiling: dict[str, dict[str, Share]]
    """real renders: attributes that the judge finds"""
    frechet: dict[str, float]
    """distance, in the judge's features, to the reference set of real renders"""
    neighbours: Neighbours
    diversity: dict[str, dict[str, float]]
    """in "pixels" and in "features": of "generated" pictures of one prompt, and of "real" ones that it describes"""
    psnr: dict[str, float]
    """reconstruction by the autoencoder, in decibels: each style, and the mean"""
    seconds: dict[str, float]
    settings: dict[str, Any]
    machine: dict[str, Any]

    def table(self) -> str:
        r"""All figures as Markdown."""
        near = self.neighbours
        worst = min(self.psnr, key=self.psnr.__getitem__)
        return "\n\n".join([
            f"Attributes drawn as the prompt says, percent (95 % interval); {self.settings['how']}",
            _columns({group: {name: str(x) for name, x in found.items()} for group, found in self.accuracy.items()}),
            "The judge's accuracy on real renders, percent: the ceiling of the table above",
            _columns({group: {name: x.percent for name, x in found.items()} for group, found in self.ceiling.items()}),
            "Fréchet distance to real renders in the judge's features (lower is nearer; the last line is that of a "
            "perfect model). Rebuilt: encoded and decoded by the autoencoder",
            _rows({name: f"{x:.3f}" for name, x in self.frechet.items()}),
            "Distance to the nearest training picture (median of RMS pixel differences; black to white is 2)",
            _rows({
                "generated": f"{near.generated:.3f}",
                "real, rebuilt": f"{near.rebuilt:.3f}",
                "real": f"{near.real:.3f}",
                "generated : real, rebuilt": f"{near.ratio:.2f}",
                "generated nearer than 99 % of real, rebuilt": f"{near.closer} %",
                "does the model copy?": "YES" if near.copies else "no",
            }),
            "Diversity: RMS difference of four pictures of one prompt, and of real renders that it describes",
            _columns({
                unit: {**{who: f"{x:.3f}" for who, x in by.items()}, "ratio": f"{by['generated'] / by['real']:.2f}"}
                for unit, by in self.diversity.items()
            }),
            f"Reconstruction of real renders by the autoencoder, PSNR in dB (worst: {worst})",
            _rows({name: f"{x:.1f}" for name, x in self.psnr.items()}),
            "Seconds, warm, on " + ", ".join(f"{name} {x}" for name, x in self.machine.items()),
            _rows({name: f"{x:.2f}" for name, x in self.seconds.items()}),
        ])  # fmt: skip

    def to_json(self) -> str:
        r"""All figures as JSON text; shares with their intervals."""
        figures = {KEYS.get(name, name): value for name, value in vars(self).items()}
        return json.dumps(figures, indent=2, ensure_ascii=False, default=_plain) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        figures = json.loads(text, object_hook=_figures)
        return cls(**{name: figures.pop(KEYS.get(name, name)) for name in cls.__annotations__})


def _plain(value: Any) -> Any:
    if isinstance(value, Share):
        return vars(value) | dict(zip(("low", "high"), value.interval, strict=True))
    if isinstance(value, Neighbours):
        return {**vars(value), "ratio": value.ratio, "copies": value.copies}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a report cannot hold a {type(value).__name__}")


def _figures(value: dict[str, Any]) -> Any:
    if "right" in value:
        return Share(value["right"], value["n"])
    if "closer" in value:
        return Neighbours(*(value[name] for name in Neighbours.__annotations__))
    return value


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
