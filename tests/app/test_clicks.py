r"""What a click does to the page, without a browser and without Gradio."""

import html
import random
import re
import shlex

import pytest

from minidiffusion.app.clicks import Clicks, View
from minidiffusion.app.desk import Desk
from minidiffusion.app.history import History
from tests.tiny import tiny_model


@pytest.fixture
def clicks(tmp_path) -> Clicks:
    return Clicks(tiny_model(), "mine", History(tmp_path / "my pictures"), Desk(), random.Random(0))


def last(steps) -> dict:
    r"""What the parts of the page show in the end."""
    page = {}
    for shown in steps:
        page |= shown
    return page


def test_a_grid_from_the_prompt_to_one_large_picture(clicks):
    steps = list(clicks.imagine("me", {}, "a red house --seed 3"))
    assert steps[0] == {"stop": True} and steps[-1] == {"stop": False}
    assert any("unfinished" in shown.get("stage", "") for shown in steps)
    grid = last(steps)
    assert grid["stage"].count("<img") == 4 and "--seed 3 --weights mine" in grid["typed"] and grid["view"].chosen == 0
    chosen = last(clicks.choose("me", {"do": "choose", "n": "2"}, grid["view"]))
    assert chosen["view"].chosen == 2 and "seed 5" in chosen["about"] and chosen["stage"].count('"true"') == 1
    large = last(clicks.choose("me", {"do": "U", "n": "3"}, grid["view"]))
    assert "32 × 32" in large["about"] and commands(large["typed"])[1:3] == ["upscale", path(clicks, grid, 3)]
    assert re.findall('data-name="(.*?)-[0-9a-f]{8}.png"', large["past"]) == 2 * ["a-red-house"]
    assert [sheet.pictures for sheet in clicks.history.sheets(9)] == [large["view"].pictures, grid["view"].pictures]


def commands(shown: str) -> list[str]:
    r"""The words of the command that is shown, as a shell reads them."""
    return shlex.split(html.unescape(re.findall("<code>(.*?)</code>", shown)[0]))


def path(clicks: Clicks, page: dict, n: int) -> str:
    return str(clicks.history.folder / page["view"].pictures[n])


def test_what_is_told_of_a_picture_and_how_it_is_made_again_can_be_typed(clicks):
    grid = last(clicks.imagine("me", {}, "a red house by the sea --seed 3"))
    told = last(clicks.describe("me", {}, grid["view"]))["told"]
    assert told.count("data-words") >= 1 and commands(told)[1:3] == ["describe", path(clicks, grid, 0)]
    looked = last(clicks.look("me", {}, grid["view"]))["told"]
    assert looked.count("<figure>") == 6 and commands(looked)[1:3] == ["look", path(clicks, grid, 0)]
    (sheet,) = clicks.history.sheets(most=9)
    again = last(clicks.open("me", {"name": sheet.name}))
    assert commands(again["typed"]) == ["minidiffusion", "again", path(clicks, grid, 0), "--weights", "mine"]


@pytest.mark.parametrize(
    "told", [{}, {"n": "4"}, {"n": "-1"}, {"n": ["0"]}, {"do": ["U"], "n": "9" * 5000}, {"n": "²"}]
)
def test_a_click_on_what_is_not_there_does_nothing(clicks, told):
    assert list(clicks.choose("me", told, View(("a.png",) * 4))) == []


def test_words_that_the_model_does_not_know_are_told(clicks):
    said = last(clicks.imagine("me", {}, "a red hause and a zebra --no fog"))["say"]
    assert "“hause” (near: house)" in said and "zebra" in said and "fog" not in said


def test_each_prompt_of_a_text_makes_a_sheet_and_stop_ends_them_all(clicks):
    steps = clicks.imagine("me", {}, "a {red, blue, small} house")
    for shown in steps:
        if "view" in shown:  # the first is finished
            list(clicks.stop("me", {}))
            break
    next(steps)
    list(clicks.stop("me", {}))
    assert "Stopped." in last(steps)["say"] and len(clicks.history.sheets(most=9)) == 1


@pytest.mark.parametrize(
    ("click", "given", "words"),
    [
        ("imagine", ("{",), "has no partner"),
        ("describe", (View(),), "Choose a picture first."),
        ("look", (View(),), "Choose a picture first."),
        ("describe", (View(("../x.png",)),), "There is no picture"),
        ("blend", ((),), "Choose a picture first."),
        ("repaint", (View(), "", ""), "The region could not be read"),
        ("open", (), "There is no sheet"),
        ("bring", (), "The picture could not be read"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(clicks, click, given, words):
    page = last(getattr(clicks, click)("me", {}, *given))
    assert words in page["say"] and 'class="bad"' in page["say"] and page["stop"] is False


def test_a_bug_is_told_to_the_terminal_and_not_to_the_page(clicks, monkeypatch, capsys):
    monkeypatch.setattr(clicks.model, "unet", None)
    page = last(clicks.imagine("me", {}, "a house"))
    assert "Something went wrong in the studio" in page["say"] and "NoneType" not in page["say"]
    assert "Traceback" in capsys.readouterr().err
