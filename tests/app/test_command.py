r"""What a click asks for: typed, it makes the same pictures, to the bit."""

import random
import shlex

import numpy as np
import PIL.Image
import pytest

from minidiffusion.cli import main as cli
from minidiffusion.app.job_queue import Stopped
from minidiffusion.app.history import History
from minidiffusion.app.command import ALONE, SEEDS, Command, commands
from minidiffusion.app.preview import guessed, written
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.images.pixels import to_pixels
from minidiffusion.prompt.parser import PromptError
from minidiffusion.pipelines.token_to_image import TokenPipeline
from tests.tiny import tiny_weights
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline

PROMPT = "a red house by the sea"
HOUSE = Command("imagine", 7, prompt=PROMPT)


def silent(preview: object) -> None:
    pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_token_pipeline(tiny_weights(tmp_path_factory.mktemp("weights")), tiny_token_pipeline())


@pytest.fixture(scope="module")
def model(weights) -> TextToImage:
    return TextToImage.load(weights)


@pytest.fixture(scope="module")
def writer(weights) -> TokenPipeline:
    return TokenPipeline.load(weights)


@pytest.fixture
def history(tmp_path, monkeypatch) -> History:
    r"""In a folder with a space in its name, of a studio that was started beside it."""
    monkeypatch.chdir(tmp_path)
    return History("my pictures")


def pixels(path) -> np.ndarray:
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("action", "sources", "prompt", "settings"),
    [
        ("imagine", 0, "a 'red' \"house\" $HOME `ls` 海边 --ar 2:1 --no fog", {}),
        ("imagine", 0, "--chaos 50", {}),
        ("write", 0, "a 'red' \"house\" $HOME `ls` 海边 --chaos 50 --no fog", {}),
        ("vary", 1, None, {"strength": 0.35}),
        ("vary", 1, "--weird 300", {"strength": 0.7}),
        ("repaint", 1, "a small blue cat", {"mask": ...}),
        ("zoom", 1, None, {"factor": 1.5}),
        ("pan", 1, None, {"direction": "up"}),
        ("upscale", 1, None, {"strength": 0.2}),
        ("blend", 2, None, {}),
    ],
)
def test_the_command_makes_the_same_pictures(
    model, writer, weights, history, capsys, action, sources, prompt, settings
):
    house = HOUSE.carry_out(model, history, silent) if sources else None
    if "mask" in settings:
        mask = PIL.Image.new("1", (16, 16), 0)
        mask.paste(1, (0, 0, 9, 16))
        settings = {"mask": history.keep(mask, "mask")}
    order = Command(action, 11, house.pictures[:sources] if house else (), prompt, settings)
    sheet = order.carry_out(writer if action == "write" else model, history, silent)
    assert len(sheet.pictures) == (1 if action == "upscale" else 4)
    clicked = [history.picture(name) for name in sheet.pictures]
    for name in (sheet.name, *sheet.pictures):
        history.path(name).unlink()

    program, *arguments = shlex.split(order.command(history.folder, str(weights)))
    assert program == "minidiffusion"
    assert cli.main([arguments[0], "--out=my pictures/typed.png", *arguments[1:]]) == 0
    assert f"{len(clicked)} pictures" in capsys.readouterr().out
    for i, picture in enumerate(clicked, start=1):
        typed = history.picture(f"typed-{i}.png")
        assert typed.image.tobytes() == picture.image.tobytes() and typed.record == picture.record


def test_the_weights_that_are_shipped_need_not_be_typed():
    assert HOUSE.command("p", "picturebook") == "minidiffusion imagine 'a red house by the sea' --seed 7"
    assert HOUSE.command("p", "mine").endswith("--seed 7 --weights mine")
    written = Command("write", 7, prompt=PROMPT).command("p", "picturebook")
    assert written == "minidiffusion imagine 'a red house by the sea' --model tokens --seed 7"


def test_a_text_makes_an_order_for_each_prompt_and_the_seed_is_what_it_says_or_any():
    dice = random.Random(0)
    made = commands(dice, "imagine", "a {red, blue} house --repeat 2 --ar 3:2")
    assert [order.prompt for order in made] == [f"a {c} house --ar 3:2" for c in ("red", "red", "blue", "blue")]
    assert len({order.seed for order in made}) == 4 and all(0 <= order.seed < SEEDS for order in made)
    (said,) = commands(dice, "imagine", "a house --seed 4294967295")
    assert (said.seed, said.prompt) == (2**32 - 1, "a house")
    assert commands(random.Random(3), "vary", None, ("a.png",)) == commands(random.Random(3), "vary", None, ("a.png",))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("imagine", "a house --fog"), "There is no flag --fog"),
        (("imagine", "a house " + "--ar 1:1 " * 10_000), "at most 6000 are read"),
        (("imagine", "a house " + "--ar 1:1 " * 500), "--ar is given twice"),
        (("imagine", "/etc/passwd.png a house"), "Pictures in a prompt"),
        (("imagine", "http://example.com/a.png a house"), "Pictures in a prompt"),
        (("imagine", "a house --sref ../a.png"), "Pictures in a prompt"),
        (("vary", None), "Choose a picture first"),
        (("write", "a {house, cat --ar 3:2}"), "--ar says nothing to pictures that are written as tokens"),
        (("write", "a house:: a cat"), ":: makes several"),
    ],
)
def test_what_cannot_be_ordered_is_refused_with_a_sentence(given, words):
    with pytest.raises(ValueError, match=words):
        commands(random.Random(0), *given)


def test_a_prompt_error_is_what_it_is():
    with pytest.raises(PromptError):
        commands(random.Random(0), "imagine", "{")


def test_pictures_that_are_too_large_or_not_there_are_refused(model, history):
    large = history.keep(PIL.Image.new("RGB", (4 * model.size + 16, 16)), "brought")
    for name, words in ((large, "too large to go on from"), ("../a.png", "no picture")):
        with pytest.raises(ValueError, match=words):
            Command("upscale", 0, (name,)).carry_out(model, history, silent)
    assert [sheet.name for sheet in history.sheets(most=9)] == [large]


def test_previews_are_shown_after_each_step_and_a_job_can_end_at_any(model, writer, history, monkeypatch):
    monkeypatch.setattr("minidiffusion.app.preview.PAUSE", 0.0)
    guess = guessed(model, next(model.trajectory(PROMPT, [7, 8, 9, 10])))
    token = written(writer, next(writer.tokens([PROMPT] * 4, [7, 8, 9, 10])))
    for action, able, steps, first in (("imagine", model, 25, guess), ("write", writer, 16, token)):
        shown = []

        def stop(preview: object, shown=shown, steps=steps) -> None:
            shown.append(preview)
            if len(shown) == 2 * steps + 3:
                raise Stopped

        Command(action, 7, prompt=PROMPT).carry_out(able, history, stop)
        assert len(shown) == 2 * steps and shown[::2] == [None] * steps  # whether to go on, and then a preview
        assert (np.stack([np.asarray(image) for image in shown[1]]) == to_pixels(first)).all()
        before = len(list(history.folder.iterdir()))
        with pytest.raises(Stopped):
            Command(action, 8, prompt=PROMPT).carry_out(able, history, stop)
        assert len(shown) == 2 * steps + 3 and len(list(history.folder.iterdir())) == before


def test_large_pictures_are_drawn_one_by_one_and_are_the_same(model, history, monkeypatch):
    together = HOUSE.carry_out(model, history, silent)
    monkeypatch.setattr("minidiffusion.app.command.ALONE", 8)
    shown = []
    alone = HOUSE.carry_out(model, history, lambda preview: shown.append(preview and len(preview)))
    assert ALONE > 64 and set(shown) == {None, 1} and alone == together
