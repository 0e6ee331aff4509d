r"""What an event does to the page, without a browser and without Gradio."""

import html
import random
import re
import shlex

import pytest

from minidiffusion.app.handlers import Event, Handlers, View
from minidiffusion.app.history import History
from minidiffusion.app.job_queue import JobQueue
from minidiffusion.checkpoint import CheckpointError
from minidiffusion.errors import UserError
from minidiffusion.prompt import parser
from tests.tiny import tiny_model
from tests.tiny_tokens import tiny_token_pipeline


@pytest.fixture
def handlers(tmp_path) -> Handlers:
    history = History(tmp_path / "my pictures")
    return Handlers(tiny_model(), tiny_token_pipeline(), "mine", history, JobQueue(), random.Random(0))


def event(**data: object) -> Event:
    return Event("me", data)


def last(updates) -> dict:
    r"""What the components of the page show in the end."""
    page = {}
    for each in updates:
        page |= each
    return page


def command(shown: str) -> list[str]:
    r"""The words of the command line that is shown, as a shell reads them."""
    return shlex.split(html.unescape(re.findall("<code>(.*?)</code>", shown)[0]))


def path(handlers: Handlers, page: dict, index: int) -> str:
    return str(handlers.history.folder / page["view"].pictures[index])


def test_a_grid_from_the_prompt_to_one_large_picture(handlers):
    updates = list(handlers.imagine(event(), "a red house --seed 3", "diffusion"))
    assert updates[0] == {"stop": True} and updates[-1] == {"stop": False}
    assert any("unfinished" in each.get("gallery", "") for each in updates)
    grid = last(updates)
    assert grid["gallery"].count("<img") == 4 and "--seed 3 --weights mine" in grid["command"]
    assert grid["view"].selected == 0
    selected = last(handlers.select(event(click="select", index="2"), grid["view"]))
    assert selected["view"].selected == 2 and "seed 5" in selected["details"]
    assert selected["gallery"].count('"true"') == 1
    large = last(handlers.select(event(click="U", index="3"), grid["view"]))
    assert "32 × 32" in large["details"] and command(large["command"])[1:3] == ["upscale", path(handlers, grid, 3)]
    assert re.findall('data-name="(.*?)-[0-9a-f]{8}.png"', large["history"]) == 2 * ["a-red-house"]
    entries = handlers.history.entries(9)
    assert [entry.pictures for entry in entries] == [large["view"].pictures, grid["view"].pictures]


def test_the_token_pipeline_makes_a_grid_and_actions_go_on_from_it_by_diffusion(handlers):
    updates = list(handlers.imagine(event(), "a red house --seed 3", "tokens"))
    assert any("unfinished" in each.get("gallery", "") for each in updates)
    grid = last(updates)
    assert command(grid["command"])[:5] == ["minidiffusion", "imagine", "a red house", "--model", "tokens"]
    assert grid["gallery"].count("<img") == 4
    assert "write · seed 3 · 16 tokens · guidance 1.5 · 16 × 16" in grid["details"]
    varied = last(handlers.select(event(click="V", index="1"), grid["view"]))
    assert command(varied["command"])[1:3] == ["vary", path(handlers, grid, 1)]
    record = handlers.history.picture(varied["view"].pictures[0]).record
    assert record.prompt == "a red house" and record.sources[0].action == "write"
    again = last(handlers.open(event(name=handlers.history.entries(9)[-1].name)))
    assert command(again["command"])[1:3] == ["again", path(handlers, grid, 0)]


def test_weights_without_a_token_pipeline_are_refused(handlers):
    handlers.token_pipeline = None
    page = last(handlers.imagine(event(), "a red house", "tokens"))
    assert "These weights have no token pipeline" in page["status"] and 'class="error"' in page["status"]
    assert handlers.history.entries(9) == []


def test_each_analysis_and_each_entry_of_the_history_has_a_command_line(handlers):
    grid = last(handlers.imagine(event(), "a red house by the sea --seed 3", "diffusion"))
    described = last(handlers.describe(event(), grid["view"]))["analysis"]
    assert described.count("data-text") >= 1 and command(described)[1:3] == ["describe", path(handlers, grid, 0)]
    maps = last(handlers.look(event(), grid["view"]))["analysis"]
    assert maps.count("<figure>") == 6 and command(maps)[1:3] == ["look", path(handlers, grid, 0)]
    (entry,) = handlers.history.entries(most=9)
    again = last(handlers.open(event(name=entry.name)))
    assert command(again["command"]) == ["minidiffusion", "again", path(handlers, grid, 0), "--weights", "mine"]


@pytest.mark.parametrize(
    "data",
    [{}, {"index": "4"}, {"index": "-1"}, {"index": ["0"]}, {"click": ["U"], "index": "9" * 5000}, {"index": "²"}],
)
def test_a_click_on_a_picture_that_is_not_there_does_nothing(handlers, data):
    assert list(handlers.select(event(**data), View(("a.png",) * 4))) == []


def test_a_word_that_was_clicked_becomes_the_prompt_or_is_added_to_it(handlers):
    assert last(handlers.insert(event(click="replace", text="a cat"), "a house")) == {"prompt": "a cat"}
    assert last(handlers.insert(event(click="append", text="red"), "a house")) == {"prompt": "a house red"}


def test_unknown_words_are_named(handlers):
    status = last(handlers.imagine(event(), "a red hause and a zebra --no fog", "diffusion"))["status"]
    assert "Unknown word &quot;hause&quot;; the nearest known words: house." in status
    assert "zebra" in status and "fog" in status and "red" not in status and "known subjects" not in status


def test_each_prompt_of_a_text_makes_a_grid_and_stop_ends_them_all(handlers):
    updates = handlers.imagine(event(), "a {red, blue, small} house", "diffusion")
    for each in updates:
        if "view" in each:  # the first is finished
            list(handlers.stop(event()))
            break
    next(updates)
    list(handlers.stop(event()))
    assert "Stopped." in last(updates)["status"] and len(handlers.history.entries(most=9)) == 1


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("imagine", ("{", "diffusion"), "has no partner"),
        ("imagine", ("a house --ar 3:2", "tokens"), "--ar is not for the token pipeline"),
        ("describe", (View(),), "Select a picture first."),
        ("look", (View(),), "Select a picture first."),
        ("describe", (View(("../x.png",)),), "There is no picture"),
        ("blend", ((),), "blend needs 2 to 5 pictures, got 0."),
        ("repaint", (View(), "", ""), "The mask must be a picture that the browser can show"),
        ("open", (), "There is no entry"),
        ("upload", (), "The picture must be a picture that the browser can show"),
    ],
)
def test_a_user_error_becomes_a_status_message(handlers, name, values, message):
    page = last(getattr(handlers, name)(event(), *values))
    assert message in page["status"] and 'class="error"' in page["status"] and page["stop"] is False


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (UserError("steps must be at least 1, got 0."), True),
        (CheckpointError("The disk is full."), True),
        (ValueError("shapes differ"), False),  # a fault of the program, like any other error
        (KeyError("unet"), False),
    ],
)
def test_only_errors_that_are_meant_for_users_are_shown_and_others_keep_their_traceback(
    handlers, monkeypatch, capsys, error, shown
):
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(handlers.model, "generate", fail)
    status = last(handlers.imagine(event(), "a house", "diffusion"))["status"]
    assert (str(error) in html.unescape(status)) is shown and ("Internal error" in status) is not shown
    assert ("Traceback" in capsys.readouterr().err) is not shown


def test_a_prompt_is_parsed_once_on_its_way_from_the_page_to_the_picture(handlers, monkeypatch):
    parsed, cut = [], parser.cut

    def counted(text: str, name: str):
        if name == "flag":  # the first that is done to a text
            parsed.append(text)
        return cut(text, name)

    monkeypatch.setattr(parser, "cut", counted)
    grid = last(handlers.imagine(event(), "a red house", "diffusion"))
    assert grid["gallery"].count("<img") == 4 and parsed == ["a red house"]
