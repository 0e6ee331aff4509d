r"""One schema for every figure: what is written, what is shipped, and what is read back."""

import csv
import math
import re

import pytest

from benchmarks import harness
from benchmarks.harness import COLUMNS, REQUIRED, RESULTS, Row, read_csv, write_csv

# codegen.csv is no list of figures but a table of compiled kernels: `python -m minidiffusion_kernels.codegen --csv`.
SHIPPED = sorted(path for path in RESULTS.glob("*.csv") if path.name != "codegen.csv")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_result_has_the_columns_and_nothing_that_is_needed_is_missing(path):
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [*reader]
        assert tuple(reader.fieldnames) == COLUMNS
    assert rows
    for row in rows:
        assert None not in row and None not in row.values()  # neither too many cells nor too few
        assert all(row[name] for name in REQUIRED), row
        assert row["question"] == path.stem.removesuffix("-cuda")
        assert all(re.fullmatch(r"\w+=.+", part) for part in row["case"].split("; ")), row["case"]
        assert math.isfinite(float(row["value"]))
        if row["low"]:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        for package in ("python", "torch", "triton"):
            assert re.fullmatch(r"[\d.]*", row[package]), row[package]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_no_figure_stands_twice(path):
    names = [tuple(row[name] for name in ("case", "dtype", "backend", "metric", "unit")) for row in read_csv(path)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_model_says_that_it_was_not_measured(path):
    for row in read_csv(path):
        assert ("(model, not measured)" in row["metric"]) == (row["device"] == "model, not measured"), row


def test_rows_are_written_with_where_they_were_measured_and_read_back(tmp_path):
    rows = [
        Row("samplers", {"sampler": "ddim", "calls": 4}, "obeyed", 0.5, "share", 0.25, 0.75),
        Row("attention", {"of": "words, all"}, "time", 1 / 3, "s", backend="triton", dtype="float16", device="a card"),
        Row("attention", {"of": "words, all"}, "bytes", 859_520_964, "B"),
    ]
    write_csv(tmp_path / "new" / "rows.csv", rows)
    first, second, third = read_csv(tmp_path / "new" / "rows.csv")
    assert list(first)[: len(COLUMNS)] == list(COLUMNS)
    assert (first["sampler"], first["calls"], first["value"], first["low"]) == ("ddim", "4", "0.5", "0.25")
    assert (second["of"], second["value"], second["low"], second["device"]) == ("words, all", "0.333333", "", "a card")
    assert third["value"] == "859520964" and " used" in third["device"]


@pytest.mark.parametrize("installed", ["2.13.0+cpu", "2.13.0"])
def test_versions_are_releases(installed, monkeypatch):
    monkeypatch.setattr(harness.metadata, "version", lambda package: installed)
    assert harness.version("torch") == "2.13.0"


def test_what_a_machine_cannot_tell_is_empty():
    assert harness.version("no-such-package-anywhere") == ""
    assert harness.output_of("no-such-command-anywhere") == "" == harness.output_of("git", "no-such-command")
