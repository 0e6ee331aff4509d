r"""The cheat sheet names everything there is, and nothing else."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch

from minidiffusion.diffusion import objective
from minidiffusion.diffusion.prediction import PREDICTION_TYPES
from minidiffusion.diffusion.sampler import SAMPLERS
from minidiffusion.diffusion.schedule import SCHEDULES, make_schedule

TEXT = (Path(__file__).parents[2] / "lessons" / "CHEATSHEET.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    section = TEXT.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize(
    "heading, names",
    [
        ("Schedules", SCHEDULES),
        ("Predictions", PREDICTION_TYPES),
        ("Losses", [*get_args(objective.Weighting), "hybrid(...)"]),
        ("The bound", ["beta", "beta_tilde", "learned"]),
        ("Samplers", SAMPLERS),
    ],
)
def test_every_name_is_on_the_sheet(heading, names):
    assert sorted(first_column(heading)) == sorted(names)


def test_the_column_of_squared_errors_is_that_of_the_code():
    schedule = make_schedule("cosine", 10)
    alpha, sigma = schedule.alpha[1:], schedule.sigma[1:]
    snr = (alpha / sigma) ** 2
    sheet = {"eps": snr, "x0": snr**0, "v": snr + 1, "score": snr / sigma**2, "velocity": (alpha / sigma + 1) ** 2}
    for kind in PREDICTION_TYPES:
        torch.testing.assert_close(objective.squared_error(kind, alpha, sigma), sheet[kind])


def test_the_vlb_weight_is_the_one_on_the_sheet():
    schedule, t = make_schedule("cosine", 10), torch.arange(2, 11)
    sheet = (schedule.sigma[t - 1] / schedule.sigma[t]) ** 2 * (schedule.snr[t - 1] - schedule.snr[t]) / 2
    torch.testing.assert_close(objective.weight("vlb", "x0", schedule, t), sheet)
