r"""The card's tables, from rows that are known."""

from benchmarks.choices import objectives, samplers


def row(**given):
    return {"part": "", "sampler": "", "calls": "0", "metric": "", "value": "0", **given}


def test_a_row_for_each_choice():
    rows = [
        row(schedule="cosine", prediction="v", weighting="simple", metric=f"{name} right", value=value)
        for name, value in (("subject", "0.5"), ("colour", "0.25"), ("place", "1"))
    ]
    assert objectives(rows)[2:] == ["| cosine, v, simple | 50% | 25% | 100% |"]


def test_a_row_for_each_sampler_with_what_there_is():
    accuracy, distance = "all attributes right", "RMS difference from many calls"
    rows = [
        row(part="pictures", sampler="heun", calls="14", metric=accuracy, value="0.9"),  # no number of steps makes 15
        row(part="pictures", sampler="heun", calls="14", metric=distance, value="0.0123"),
        row(part="pictures", sampler="ddpm", calls="25", metric=accuracy, value="1"),
        row(part="toy, law", sampler="plms", calls="25", metric=accuracy, value="1"),
    ]
    header, _, *lines = samplers(rows)
    assert header == "| sampler | 6 calls | 10 calls | 15 calls | 25 calls | 50 calls |"
    assert lines == ["| heun |  |  | 90%; 0.012 |  |  |", "| ddpm |  |  |  | 100% |  |"]
