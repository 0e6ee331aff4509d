r"""A command: typed in a terminal, it makes the same pictures, to the bit."""

import random
import shlex

import numpy as np
import PIL.Image
import pytest

from minidiffusion.app.command import LARGEST, SEEDS, Command, commands
from minidiffusion.app.history import History
from minidiffusion.app.job_queue import CancelledError
from minidiffusion.app.preview import latent_preview, token_preview
from minidiffusion.cli.main import main
from minidiffusion.errors import UserError
from minidiffusion.images.pixels import to_pixels
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline
from minidiffusion.prompt.format import format
from minidiffusion.prompt.lexer import PromptError
from minidiffusion.prompt.parser import parse
from tests.tiny import tiny_weights
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline

PROMPT = "a red house by the sea"
HOUSE = Command("imagine", 7, prompt=parse(PROMPT))


def silent(preview: object) -> None:
    pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_token_pipeline(tiny_weights(tmp_path_factory.mktemp("weights")), tiny_token_pipeline())


@pytest.fixture(scope="module")
def model(weights) -> TextToImage:
    return TextToImage.load(weights)


@pytest.fixture(scope="module")
def token_pipeline(weights) -> TokenPipeline:
    return TokenPipeline.load(weights)


@pytest.fixture
def history(tmp_path, monkeypatch) -> History:
    r"""In a folder with a space in its name, of a studio that was started beside it."""
    monkeypatch.chdir(tmp_path)
    return History("my pictures")


@pytest.mark.parametrize(
    ("action", "sources", "prompt", "options"),
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
def test_the_command_line_makes_the_same_pictures(
    model, token_pipeline, weights, history, capsys, action, sources, prompt, options
):
    house = HOUSE.carry_out(model, history, silent) if sources else None
    if "mask" in options:
        mask = PIL.Image.new("1", (16, 16), 0)
        mask.paste(1, (0, 0, 9, 16))
        options = {"mask": history.add_image(mask, "mask")}
    pictures = house.pictures[:sources] if house else ()
    command = Command(action, 11, pictures, None if prompt is None else parse(prompt), options)
    entry = command.carry_out(token_pipeline if action == "write" else model, history, silent)
    assert len(entry.pictures) == (1 if action == "upscale" else 4)
    clicked = [history.picture(name) for name in entry.pictures]
    for name in (entry.name, *entry.pictures):
        history.path(name).unlink()

    program, *arguments = shlex.split(command.command_line(history.folder, str(weights)))
    assert program == "minidiffusion"
    assert main([arguments[0], "--out=my pictures/typed.png", *arguments[1:]]) == 0
    assert "typed.png" in capsys.readouterr().out
    assert len(list(history.folder.glob("typed-*.png"))) == len(clicked)
    for i, picture in enumerate(clicked, start=1):
        typed = history.picture(f"typed-{i}.png")
        assert typed.image.tobytes() == picture.image.tobytes() and typed.record == picture.record


def test_the_weights_that_are_shipped_are_left_out_of_the_command_line():
    assert HOUSE.command_line("p", "picturebook") == "minidiffusion imagine 'a red house by the sea' --seed 7"
    assert HOUSE.command_line("p", "mine").endswith("--seed 7 --weights mine")
    written = Command("write", 7, prompt=parse(PROMPT)).command_line("p", "picturebook")
    assert written == "minidiffusion imagine 'a red house by the sea' --model tokens --seed 7"


def test_files_and_positional_options_stand_in_the_command_line_as_the_action_says():
    pan = Command("pan", 7, ("a.png",), options={"direction": "up"})
    assert pan.command_line("p", "picturebook") == "minidiffusion pan p/a.png up --seed 7"
    repaint = Command("repaint", 7, ("a.png",), parse("a cat"), {"mask": "m.png"})
    expected = "minidiffusion repaint p/a.png --mask p/m.png --prompt 'a cat' --seed 7"
    assert repaint.command_line("p", "picturebook") == expected


def test_a_text_makes_a_command_for_each_prompt_with_its_seed_or_a_random_one():
    made = commands(random.Random(0), "imagine", "a {red, blue} house --repeat 2 --ar 3:2")
    assert [format(each.prompt) for each in made] == [f"a {c} house --ar 3:2" for c in ("red", "red", "blue", "blue")]
    assert len({each.seed for each in made}) == 4 and all(0 <= each.seed < SEEDS for each in made)
    (given,) = commands(random.Random(0), "imagine", "a house --seed 4294967295")
    assert (given.seed, given.prompt) == (2**32 - 1, parse("a house"))
    assert commands(random.Random(3), "vary", None, ("a.png",)) == commands(random.Random(3), "vary", None, ("a.png",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("imagine", "a house --fog"), "There is no flag --fog"),
        (("imagine", "a house " + "--ar 1:1 " * 10_000), "at most 6000 are read"),
        (("imagine", "a house " + "--ar 1:1 " * 500), "--ar is given twice"),
        (("imagine", "/etc/passwd.png a house"), "Pictures in a prompt"),
        (("imagine", "http://example.com/a.png a house"), "Pictures in a prompt"),
        (("imagine", "a house --sref ../a.png"), "Pictures in a prompt"),
        (("vary", None), "Select a picture first"),
        (("blend", None, ("a.png",)), "blend needs 2 to 5 pictures, got 1"),
        (("blend", None, ("a.png",) * 6), "blend needs 2 to 5 pictures, got 6"),
        (("write", "a {house, cat --ar 3:2}"), "--ar is not for the token pipeline"),
        (("write", "a house:: a cat"), ":: makes several"),
        (("fly", "a house"), "There is no action 'fly'"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_queued(arguments, message):
    with pytest.raises(UserError, match=message):
        commands(random.Random(0), *arguments)


def test_a_prompt_error_is_not_renamed():
    with pytest.raises(PromptError):
        commands(random.Random(0), "imagine", "{")


def test_pictures_that_are_too_large_or_not_there_are_refused(model, history):
    large = history.add_image(PIL.Image.new("RGB", (LARGEST * model.size + 16, 16)), "upload")
    for name, message in ((large, "must have at most 64 pixels a side, got 80"), ("../a.png", "no picture")):
        with pytest.raises(UserError, match=message):
            Command("upscale", 0, (name,)).carry_out(model, history, silent)
    assert [entry.name for entry in history.entries(most=9)] == [large]


def test_previews_are_reported_after_each_step_and_a_job_can_end_at_any(model, token_pipeline, history, monkeypatch):
    monkeypatch.setattr("minidiffusion.app.preview.INTERVAL", 0.0)
    seeds = [7, 8, 9, 10]
    latents = latent_preview(model, next(model.sample(PROMPT, seeds)))
    tokens = token_preview(token_pipeline, next(token_pipeline.sample(PROMPT, seeds)))
    for action, pipeline, steps, first in (("imagine", model, 25, latents), ("write", token_pipeline, 16, tokens)):
        reported = []

        def report(preview: object, reported=reported, steps=steps) -> None:
            reported.append(preview)
            if len(reported) == 2 * steps + 3:
                raise CancelledError

        Command(action, 7, prompt=parse(PROMPT)).carry_out(pipeline, history, report)
        assert len(reported) == 2 * steps and reported[::2] == [None] * steps  # whether it is cancelled; then a preview
        assert (np.stack([np.asarray(image) for image in reported[1]]) == to_pixels(first)).all()
        before = len(list(history.folder.iterdir()))
        with pytest.raises(CancelledError):
            Command(action, 8, prompt=parse(PROMPT)).carry_out(pipeline, history, report)
        assert len(reported) == 2 * steps + 3 and len(list(history.folder.iterdir())) == before


def test_large_pictures_are_drawn_one_at_a_time_and_are_the_same(model, history, monkeypatch):
    together = HOUSE.carry_out(model, history, silent)
    monkeypatch.setattr("minidiffusion.pipelines.batches.LARGEST_AT_ONCE", 8)
    sizes = []
    alone = HOUSE.carry_out(model, history, lambda preview: sizes.append(preview and len(preview)))
    assert set(sizes) == {None, 1} and alone == together
