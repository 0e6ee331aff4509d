r"""The commands of the studio, from the command line, with tiny weights."""

import numpy as np
import PIL.Image
import pytest

from minidiffusion.actions.write import write
from minidiffusion.cli import main
from minidiffusion.images.png import read_record
from minidiffusion.images.record import Record
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.token_to_image import TokenPipeline
from tests.tiny import tiny_weights
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline

QUICK = ("--n", "2", "--steps", "3", "--seed", "5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_token_pipeline(tiny_weights(tmp_path_factory.mktemp("weights")), tiny_token_pipeline())


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    r"""run(command, arguments, ...) -> (status, output, errors), in an empty folder with the picture house-1.png."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minidiffusion.cli.draw.SECONDS_IN_SILENCE", 1000)  # however busy the machine

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--weights", str(folder)])
        return status, *capsys.readouterr()

    run("imagine", "a red house by the sea", *QUICK, "--out", "house.png")
    return run


def image(name: str) -> np.ndarray:
    with PIL.Image.open(name) as opened:
        return np.array(opened.convert("RGB"))


def refused(result: tuple[int, str, str], *words: str) -> bool:
    status, out, err = result
    return status == 2 and out == "" and len(err.splitlines()) == 1 and all(word in err for word in words)


@pytest.mark.parametrize(
    ("command", "size", "prompt"),
    [
        (("vary", "house-1.png"), (16, 16), "a red house by the sea"),
        (("vary", "house-1.png", "--strength", "0.4", "--prompt", "a small blue cat"), (16, 16), "a small blue cat"),
        (("zoom", "house-1.png", "--factor", "1.3"), (16, 16), "a red house by the sea"),
        (("pan", "house-1.png", "up"), (16, 32), "a red house by the sea"),
        (("upscale", "house-1.png", "--strength", "0.3"), (32, 32), "a red house by the sea"),
        (("blend", "house-1.png", "house-2.png", "house-1.png"), (16, 16), ""),
    ],
)
def test_each_action_writes_a_sheet_whose_pictures_can_be_made_again(run, command, size, prompt):
    status, out, err = run(*command, *QUICK, "--out", "new.png")
    assert (status, err) == (0, "") and f"2 pictures of {size[0]} x {size[1]}" in out
    record = Record.from_dict(read_record("new-2.png"))
    assert (record.action, record.seed, record.prompt) == (command[0], 6, prompt)
    assert run("again", "new-2.png") == (0, "again.png\n", "")
    assert (image("again.png") == image("new-2.png")).all()
    assert read_record("again.png") == read_record("new-2.png")


def test_a_region_is_painted_anew_and_the_rest_is_kept(run):
    mask = PIL.Image.new("L", (16, 16), 0)
    mask.paste(200, (0, 0, 8, 16))  # nearly white counts as white
    mask.save("mask.png")
    assert run("repaint", "house-1.png", "--mask", "mask.png", *QUICK, "--out", "new.png")[0] == 0
    assert (image("new-1.png")[:, 8:] == image("house-1.png")[:, 8:]).all()
    assert (image("new-1.png")[:, :8] != image("house-1.png")[:, :8]).any()
    PIL.Image.new("L", (16, 8), 255).save("small.png")
    assert refused(run("repaint", "house-1.png", "--mask", "small.png", *QUICK), "as large as the picture")


def test_a_picture_from_elsewhere_has_no_prompt_and_must_be_brought_along(run):
    values = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    PIL.Image.fromarray(values).save("photo.bmp")
    status, out, err = run("vary", "photo.bmp", *QUICK, "--out", "new.png")
    assert status == 0 and "prompt is empty" in err and "32 x 16" in out
    assert refused(run("again", "new-1.png"), "from elsewhere, which is missing")
    assert run("again", "new-1.png", "--source", "photo.bmp")[0] == 0
    assert (image("again.png") == image("new-1.png")).all()


def test_a_picture_that_looked_at_another_can_be_varied(run):
    assert run("imagine", "house-1.png a cat", *QUICK, "--out", "cat.png")[0] == 0
    assert run("vary", "cat-1.png", *QUICK, "--out", "new.png")[0] == 0
    assert read_record("new-1.png")["prompt"] == "a cat"
    assert refused(run("vary", "cat-1.png", "--prompt", "house-1.png a cat", *QUICK), "Only a new picture")


def test_words_for_a_picture_and_the_weight_of_words(run):
    status, out, _ = run("describe", "house-1.png")
    assert status == 0 and 1 <= len(out.splitlines()) <= 3 and out.isascii()
    assert not run("describe", "house-1.png", "--language", "zh")[1].isascii()
    lines = run("shorten", "a red house")[1].splitlines()
    assert [line.split()[-1] for line in lines] == ["a", "red", "house"]
    assert max(line.count("#") for line in lines) == 20
    assert run("shorten", "")[:2] == (0, "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("vary", "missing.png"), "missing.png"),
        (("vary", "house-1.png", "--strength", "2"), "strength must be between 0 and 1, got 2.0"),
        (("zoom", "house-1.png", "--factor", "9"), "factor must be between 1.1 and 4, got 9.0"),
        (("blend", "house-1.png"), "2 to 5 pictures, got 1"),
        (("again", "house.png"), "record"),
        (("again", "notes.txt"), "notes.txt"),
        (("describe", "notes.txt"), "notes.txt"),
        (("vary", "house-1.png", "--prompt", "a --sead 3"), "did you mean --seed"),
        (("vary", "odd.png"), "a multiple of 16"),
        (("vary", "house-1.png", "--out", "new.jpg"), "must be a .png file"),
        (("again", "house-1.png", "--out", "new.jpg"), "must be a .png file"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(run, tmp_path, command, words):
    (tmp_path / "notes.txt").write_text("no picture")
    PIL.Image.new("RGB", (17, 16), "red").save("odd.png")
    before = sorted(tmp_path.rglob("*"))
    assert refused(run(*command), words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "valid"),
    [(("pan", "house-1.png", "north"), "left"), (("describe", "house-1.png", "--language", "fr"), "zh")],
)
def test_a_word_that_is_none_of_the_choices_is_refused_with_the_choices(run, capsys, command, valid):
    with pytest.raises(SystemExit) as leaving:
        run(*command)
    assert leaving.value.code == 2 and valid in capsys.readouterr().err


def test_books_icons_and_patterns_are_written(run, tmp_path):
    (tmp_path / "story.txt").write_text("# A story\nOnce there was a house. | a red house\n夜晚", encoding="utf-8")
    few = ("--steps", "2")
    assert run("book", "story.txt", *few) == (0, "book.html: 2 pages\n", "")
    text = (tmp_path / "book.html").read_text(encoding="utf-8")
    assert "Once there was a house." in text and "夜晚" in text and text.count("data:image/png") == 2
    assert run("icons", "a {red, blue} house", *few) == (0, "icons.png: 2 icons\n", "")
    assert Record.from_dict(read_record("icons-2.png")).action == "upscale"
    assert run("pattern", "a red house", "--times", "2", *few) == (0, "pattern.png: 32 x 32\n", "")
    assert (image("pattern.png")[:16, 16:] == image("pattern-tile.png")).all()
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for command in (
        ("book", "missing.txt"),
        ("book", "bytes.txt"),
        ("icons", "a", "--out", "a.jpg"),
        ("pattern", "--out", "a.gif", "a"),
    ):
        assert refused(run(*command)), command
    assert refused(run("icons", "a {b"), "has no partner") and refused(run("pattern", "{a}"), "not written out")


# -------------------------------------------------------------------------------------------------------------- tokens


TOKENS = ("imagine", "--model", "tokens", "--n", "2")


def test_tokens_write_the_pictures_that_python_writes(run, folder):
    flags = ("--guidance", "2", "--temperature", "0.9", "--top-k", "30", "--top-p", "0.9", "--drafts", "2")
    status, out, err = run(*TOKENS, "a {red, blue} house --no snow --seed 3 --repeat 2", "--no", "cat", *flags)
    assert (status, err) == (0, "") and out.count("2 pictures of 16 x 16") == 4
    assert run(*TOKENS, "a blue house --no snow, cat", "--seed", "3", *flags, "--out", "blue.png")[0] == 0
    model, prompt, own = TokenPipeline.load(folder), "a blue house --no snow, cat", {"top_k": 30, "top_p": 0.9}
    expected = write(model, [], [3, 4], prompt, SamplingSettings(guidance=2.0), temperature=0.9, drafts=2, **own)
    for i, picture in enumerate(expected, start=1):
        assert (image(f"blue-{i}.png") == np.array(picture.image)).all()
        assert read_record(f"blue-{i}.png") == picture.record.to_dict() | {"sources": []}
    assert run("again", "blue-2.png") == (0, "again.png\n", "")
    assert (image("again.png") == image("blue-2.png")).all()


def test_tokens_go_on_with_a_picture_and_diffusion_with_theirs(run, folder):
    assert run(*TOKENS, "a cat", "--begin", "house-1.png", "--rows", "2", "--out", "cat.png")[0] == 0
    record = Record.from_dict(read_record("cat-1.png"))
    assert (record.settings["rows"], record.sources[0].prompt) == (2, "a red house by the sea")
    assert run("vary", "cat-1.png", *QUICK, "--out", "new.png")[0] == 0
    assert read_record("new-1.png")["prompt"] == "a cat"
    for each in ("cat", "new"):  # drawn and written, and then drawn once more
        assert run("again", f"{each}-1.png")[0] == 0
        assert (image("again.png") == image(f"{each}-1.png")).all()
    before = image("house-1.png")
    PIL.Image.fromarray(before).save("photo.bmp")  # without its record
    assert run(*TOKENS, "a cat", "--begin", "photo.bmp", "--rows", "2", "--out", "cat.png")[0] == 0
    assert run("again", "cat-1.png", "--source", "photo.bmp")[0] == 0
    assert (image("again.png") == image("cat-1.png")).all()


def test_words_that_tokens_do_not_know_are_named(run):
    assert '"zebra"' in run(*TOKENS, "a red zebra", "--out", "a.png")[2]
    assert "prompt is empty" in run(*TOKENS, "", "--out", "b.png")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "tokens", "a --ar 2:1"), "--ar is not for the token pipeline"),
        (("--model", "tokens", "a {b, c --tile}"), "--tile is not for the token pipeline"),
        (("--model", "tokens", "a::2 b"), ":: makes several"),
        (("--model", "tokens", "--steps", "9", "a"), "--steps is not for --model tokens"),
        (("--model", "tokens", "--sampler", "ddim", "a"), "--sampler is not for --model tokens"),
        (("--model", "tokens", "--size", "32", "a"), "--size is not for --model tokens"),
        (("--model", "tokens", "--drafts", "65", "a"), "drafts must be between 1 and 64, got 65"),
        (("--model", "tokens", "--top-k", "0", "a"), "top_k must be at least 1, got 0"),
        (("--model", "tokens", "--begin", "missing.png", "a"), "missing.png"),
        (("--model", "tokens", "--begin", "house-1.png", "--rows", "4", "a"), "rows must be between 1 and 3, got 4"),
        (("--model", "tokens", "--rows", "2", "a"), "--rows needs --begin"),
        (("--temperature", "0.5", "a"), "--temperature is not for --model diffusion"),
        (("--top-k", "5", "a"), "--top-k is not for --model diffusion"),
        (("--top-p", "1", "a"), "--top-p is not for --model diffusion"),
        (("--drafts", "2", "a"), "--drafts is not for --model diffusion"),
        (("--begin", "house-1.png", "a"), "--begin is not for --model diffusion"),
    ],
)
def test_what_one_road_knows_and_the_other_does_not_is_refused(run, tmp_path, arguments, words):
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run("imagine", *arguments)
    assert (status, out) == (2, "") and words in err.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_where_no_tokens_are_trained_it_says_what_trains_them(tmp_path, capsys):
    weights = str(tiny_weights(tmp_path))
    assert main([*TOKENS, "a", "--weights", weights]) == 1
    out, err = capsys.readouterr()
    assert (
        out == ""
        and f"lacks codebook.json, which this command makes: minidiffusion train codebook --out {weights}" in err
    )


def test_a_prompt_that_tokens_cannot_obey_is_refused_before_anything_is_loaded(capsys):
    assert main([*TOKENS, "a {b, c --tile}", "--weights", "nowhere"]) == 2
    assert "--tile is not for the token pipeline" in capsys.readouterr().err
