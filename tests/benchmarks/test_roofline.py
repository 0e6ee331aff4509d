r"""The bounds are arithmetic on NVIDIA's figures, and every one is labelled as a model."""

import pytest

from benchmarks import roofline
from benchmarks.cards import CARDS, limits

T4, A100, H100, *_ = CARDS


def test_memory_or_arithmetic_whichever_takes_longer():
    assert T4.seconds(moved=320e9, flops=1) == 1 and T4.seconds(moved=1, flops=65e12) == 1
    assert A100.seconds(moved=1555e9, flops=3 * 312e12) == 3


@pytest.mark.parametrize(
    "driver, card",
    [
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB SXM"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA T400", None),
    ],
)
def test_a_card_is_known_by_the_name_that_its_driver_gives_it(driver, card):
    found = limits(driver)
    assert (found and found.name) == card


def test_every_row_is_labelled_and_fewer_bytes_never_take_longer():
    rows = list(roofline.rows())
    assert all(row.metric.endswith("(model, not measured)") and row.device == "model, not measured" for row in rows)
    times = {(*row.case.values(), row.backend): row.value for row in rows if row.metric.startswith("time")}
    for *case, backend in times:
        assert times[*case, "any kernel"] <= times[*case, backend] <= times[*case, "reference"]
    assert not any("T4" in case and backend == "triton" for case, *_, backend in times if case == "attention")


def test_group_norm_of_stable_diffusion_on_an_a100():
    r"""2 x 320 x 64 x 64 halves are 5.24 MB; our kernel moves them three times there and five times back."""
    moved = roofline.bytes_of(roofline.FIRST, A100)["triton"]
    rows = roofline.bounds("group_norm", roofline.FIRST, A100, "triton", moved)
    found = {row.case["pass"]: row.value for row in rows if row.unit == "s"}
    once = 2 * 320 * 64 * 64 * 2 / 1555e9
    assert found == pytest.approx({"forward": 3 * once, "backward": 5 * once, "both": 8 * once})


def test_the_plot_says_so_too(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(roofline.plt.Figure, "suptitle", lambda figure, text, **options: titles.append(text))
    roofline.plot(tmp_path / "roofline.png")
    assert "model, not measured" in titles[0] and (tmp_path / "roofline.png").stat().st_size > 10_000
