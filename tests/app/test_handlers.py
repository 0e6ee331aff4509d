r"""What a click does to the page, without a browser and without Gradio."""

import html
import random
import re
import shlex

import pytest

from minidiffusion.app.handlers import Handlers, View
from minidiffusion.app.job_queue import JobQueue
from minidiffusion.app.history import History
from tests.tiny import tiny_model
from tests.tiny_tokens import tiny_token_pipeline


@pytest.fixture
def clicks(tmp_path) -> Handlers:
    return Handlers(tiny_model(), tiny_token_pipeline(), "mine", History(tmp_path / "my pictures"), JobQueue(), random.Random(0))


def last(steps) -> dict:
    r"""What the parts of the page show in the end."""
    page = {}
    for shown in steps:
        page |= shown
    return page


def test_a_grid_from_the_prompt_to_one_large_picture(clicks):
    steps = list(clicks.imagine("me", {}, "a red house --seed 3", "diffusion"))
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


def test_tokens_write_a_grid_and_all_else_goes_on_from_it_by_diffusion(clicks):
    steps = list(clicks.imagine("me", {}, "a red house --seed 3", "tokens"))
    assert any("unfinished" in shown.get("stage", "") for shown in steps)
    grid = last(steps)
    assert commands(grid["typed"])[:5] == ["minidiffusion", "imagine", "a red house", "--model", "tokens"]
    assert grid["stage"].count("<img") == 4 and "write · seed 3 · 16 tokens · guidance 1.5 · 16 × 16" in grid["about"]
    varied = last(clicks.choose("me", {"do": "V", "n": "1"}, grid["view"]))
    assert commands(varied["typed"])[1:3] == ["vary", path(clicks, grid, 1)]
    record = clicks.history.picture(varied["view"].pictures[0]).record
    assert record.prompt == "a red house" and record.sources[0].action == "write"
    again = last(clicks.open("me", {"name": clicks.history.sheets(9)[-1].name}))
    assert commands(again["typed"])[1:3] == ["again", path(clicks, grid, 0)]


def test_tokens_that_are_not_there_are_refused(clicks):
    clicks.writer = None
    page = last(clicks.imagine("me", {}, "a red house", "tokens"))
    assert "These weights have no tokens" in page["say"] and 'class="bad"' in page["say"]
    assert clicks.history.sheets(9) == []


def commands(shown: str) -> list[str]:
    r"""The words of the command that is shown, as a shell reads them."""
    return shlex.split(html.unescape(re.findall("<code>(.*?)</code>", shown)[0]))


def path(clicks: Handlers, page: dict, n: int) -> str:
    return str(clicks.history.folder / page["view"].pictures[n])


def test_what_is_told_of_a_picture_and_how_it_is_made_again_can_be_typed(clicks):
    grid = last(clicks.imagine("me", {}, "a red house by the sea --seed 3", "diffusion"))
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
    said = last(clicks.imagine("me", {}, "a red hause and a zebra --no fog", "diffusion"))["say"]
    assert "I do not know &quot;hause&quot;; the nearest words that I know: house." in said
    assert "zebra" in said and "fog" in said and "red" not in said and "what I can draw" not in said


def test_each_prompt_of_a_text_makes_a_sheet_and_stop_ends_them_all(clicks):
    steps = clicks.imagine("me", {}, "a {red, blue, small} house", "diffusion")
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
        ("imagine", ("{", "diffusion"), "has no partner"),
        ("imagine", ("a house --ar 3:2", "tokens"), "--ar says nothing to pictures that are written as tokens"),
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
    page = last(clicks.imagine("me", {}, "a house", "diffusion"))
    assert "Something went wrong in the studio" in page["say"] and "NoneType" not in page["say"]
    assert "Traceback" in capsys.readouterr().err
