r"""The benchmark of codebooks: does the exam tell good pictures from bad ones, and is what a name says trained?"""

import math

import pytest

from benchmarks import codebooks
from benchmarks.harness import read_csv
from minidiffusion.evaluation.judge import load_judge
from minidiffusion.tokens.codebook import PictureTokenizerConfig
from minidiffusion.training.codebook import CodebookTraining


@pytest.fixture(scope="module")
def exam():
    return codebooks.Exam(load_judge(), 48)


def test_the_page_itself_is_right_and_an_empty_one_is_not(exam):
    rows = {row.metric: row.value for row in exam.examine({}, lambda x: x)}
    assert rows["PSNR, seen"] == rows["PSNR, held_out"] == math.inf
    assert rows["all attributes right, seen"] > 0.95 and rows["all attributes right, held_out"] > 0.85
    rows = {row.metric: row.value for row in exam.examine({}, lambda x: x + 0.2)}
    assert 20 <= rows["PSNR, seen"] < 21  # 10 log10(4 / 0.04) = 20, but for what is cut off at white
    rows = {row.metric: row.value for row in exam.examine({}, lambda x: 0 * x)}
    assert rows["all attributes right, seen"] == rows["all attributes right, held_out"] == 0


def test_the_two_splits_are_what_they_are_called(exam):
    subject, colour = (exam.labels["held_out"][:, i].tolist() for i in (0, 1))
    held_out = {*zip(subject, colour, strict=True)}
    assert len(held_out) <= 12 and not held_out & {*zip(*exam.labels["seen"][:, :2].T.tolist(), strict=True)}


def test_it_trains_what_the_name_says_and_leaves_rows_and_a_plot(tmp_path, monkeypatch):
    def tiny(**settings):
        return PictureTokenizerConfig(channels=(16, 16), **settings)

    variants = {
        "16 codes": CodebookTraining(model=tiny(codes=16, dim=4)),
        "FSQ": CodebookTraining(model=tiny(codes=64, dim=2, levels=(8, 8)), perception=0.0),
    }
    monkeypatch.setattr(codebooks, "VARIANTS", variants)
    monkeypatch.setenv("MINIDIFFUSION_CACHE", str(tmp_path / "cache"))
    codebooks.main(["--steps", "2", "--pages", "32", "--new", "16", "--out", str(tmp_path)])
    rows = read_csv(tmp_path / "codebooks.csv")
    value = {(row["codebook"], row["metric"]): float(row["value"]) for row in rows}
    assert {row["codebook"]: row["bits"] for row in rows} == {
        "VAE": "none",
        "shipped": "12",
        "16 codes": "4",
        "FSQ": "6",
    }
    better = value["shipped", "PSNR, seen"]
    assert value["VAE", "PSNR, seen"] > better > value["FSQ", "PSNR, seen"]
    assert value["16 codes", "codes used"] * 16 == round(value["16 codes", "codes used"] * 16)
    assert (tmp_path / "codebooks.png").stat().st_size > 15_000
