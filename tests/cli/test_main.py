r"""The command line: what it writes, what it says, and how it fails."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch

from minidiffusion.checkpoint import file_hash
from minidiffusion.cli import main
from minidiffusion.cli.main import commands
from minidiffusion.data.emoji import emoji
from minidiffusion.evaluation import evaluate
from minidiffusion.images.png import read_record
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained.weights import INDEX
from minidiffusion.version import __version__
from tests.tiny import tiny_weights
from tests.tiny_stable_diffusion import save_pipeline
from tests.unchecked import unchecked

PROMPT = "a red house by the sea at night, watercolor"
QUICK = ("--steps", "2", "--n", "2")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    return str(tiny_weights(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def run(capsys, weights, tmp_path, monkeypatch):
    r"""Runs a command in an empty folder -> (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIDIFFUSION_DEBUG", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as leaving:  # tyro, on --help and on options it cannot parse
            status = leaving.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def imagine(run, weights):
    return lambda *arguments: run("imagine", "--weights", weights, *QUICK, *arguments)


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -------------------------------------------------------------------------------------------------------------- imagine


def test_imagine_writes_a_grid_the_pictures_and_a_record_and_says_so(imagine, weights, tmp_path):
    arguments = (PROMPT, "--seed", "7", "--guidance", "2.5", "--no", "snow", "--sampler", "ddim", "--out", "o")
    status, out, err = imagine(*arguments)
    assert status == 0 and err == ""
    names = written(tmp_path / "o")
    stem = names[0].removesuffix("-1.png")
    assert stem.startswith("a-red-house-by-the-sea-at-night-waterco")
    assert names == [f"{stem}-1.png", f"{stem}-2.png", f"{stem}.json", f"{stem}.png"]
    assert out.startswith(str(Path("o") / f"{stem}.png")) and "2 pictures of 16 x 16 in" in out and names[1] in out

    record = json.loads((tmp_path / "o" / f"{stem}.json").read_bytes())
    assert record == {
        "action": "imagine",
        "prompt": f"{PROMPT} --no snow",
        "seeds": [7, 8],
        "steps": 2,
        "guidance": 2.5,
        "sampler": "ddim",
        "width": 16,
        "height": 16,
        "weights": file_hash(Path(weights, INDEX)),
        "version": __version__,
        "settings": {},
        "sources": [],
    }
    assert read_record(tmp_path / "o" / f"{stem}-2.png")["seed"] == 8

    before = {name: (tmp_path / "o" / name).read_bytes() for name in names}
    imagine(*arguments)
    assert {name: (tmp_path / "o" / name).read_bytes() for name in written(tmp_path / "o")} == before
    imagine(PROMPT, "--seed", "8", "--out", "o")
    assert len(written(tmp_path / "o")) == 8  # other pictures do not take the place of the first ones


def test_the_pictures_are_those_of_the_python_interface(imagine, weights, tmp_path):
    imagine(PROMPT, "--seed", "5", "--out", "sheet.png")
    expected = TextToImage.load(weights).imagine(PROMPT, seeds=[5, 6], steps=2)
    assert written(tmp_path) == ["sheet-1.png", "sheet-2.png", "sheet.json", "sheet.png"]
    with PIL.Image.open("sheet-2.png") as single, PIL.Image.open("sheet.png") as sheet:
        assert single.tobytes() == expected[1].image.tobytes()
        assert sheet.size == (2 * 16 * 6 + 6, 16 * 6)


def test_without_options_there_are_four_pictures_in_a_folder_of_the_prompt(run, weights, tmp_path):
    assert run("imagine", "--weights", weights, "--", "red-- house")[0] == 0  # after a lone --, anything is a prompt
    names = written(tmp_path)
    assert len(names) == 6 and all(name.startswith(f"pictures{os.sep}red-") for name in names)
    (record,) = (json.loads(Path(name).read_bytes()) for name in names if name.endswith(".json"))
    assert record["seeds"] == [0, 1, 2, 3] and record["prompt"] == "red-- house"
    assert (record["steps"], record["guidance"], record["sampler"]) == (25, 2.5, "dpm++")


def test_the_flags_of_a_prompt_are_obeyed(imagine, tmp_path):
    status, out, err = imagine("a red house --ar 2:1 --seed 3 --no snow", "--no", "cat", "--out", "a.png")
    assert (status, err) == (0, "") and "2 pictures of 32 x 16 in" in out
    record = read_record("a.png")
    assert record["seeds"] == [3, 4] and record["prompt"] == "a red house --ar 2:1 --no snow, cat"
    imagine("a red house --seed 3", "--seed", "9", "--out", "b.png")
    assert read_record("b.png")["seeds"] == [9, 10]  # what is said outside the prompt counts


def test_choices_and_repetitions_make_sheets_of_their_own(imagine, tmp_path):
    status, out, _ = imagine("a {red, blue} house", "--n", "1", "--out", "o")
    assert status == 0 and out.count("1 pictures of 16 x 16") == 2 and len(written(tmp_path / "o")) == 6
    assert_refused(
        imagine("a {red, blue} house", "--out", "o.png"),
        2,
        "out must be a folder, as the prompt makes 2 sheets, got o.png",
    )


def test_a_prompt_can_look_at_a_picture(imagine, tmp_path):
    imagine("a red house", "--n", "1", "--out", "house.png")
    status, _, err = imagine("house-1.png a cat --sref house.png", "--n", "1", "--out", "cat.png")
    assert (status, err) == (0, "")
    assert len(read_record("cat.png")["sources"]) == 2
    assert_refused(imagine("missing.png a cat"), 2, "missing.png")


def test_a_prompt_is_refused_before_anything_is_loaded(run):
    assert_refused(run("imagine", "a red house --sead 3", "--weights", "nowhere"), 2, "did you mean --seed")
    assert_refused(run("imagine", "a" * 6001, "--weights", "nowhere"), 2, "at most 6000")


def test_the_flags_are_listed(run):
    status, out, _ = run("flags")
    assert status == 0 and "--chaos, --c" in out and "from 1:2 to 2:1" in out


def test_seeds_go_round_at_the_end(imagine, tmp_path):
    assert imagine(PROMPT, "--seed", "4294967295", "--out", "a.png")[0] == 0
    assert read_record("a.png")["seeds"] == [4294967295, 0]


def test_threads_are_those_asked_for(imagine, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    imagine(PROMPT)
    assert asked == []
    imagine(PROMPT, "--threads", "1")
    assert asked == [1]


HOSTILE = [
    "",
    " ",
    "红色",
    "🙂" * 30,
    "a" * 6_000,
    "zebra " * 1000,
    "\x00\x1b[31m\n\t",
    "<|endoftext|>",
    "\udcff",
    "%s {0}",
]


@pytest.mark.parametrize("prompt", HOSTILE)
def test_any_prompt_gives_pictures(imagine, tmp_path, prompt):
    status, out, err = imagine(prompt)
    assert status == 0 and "Traceback" not in err and len(err) < 2000
    assert len(written(tmp_path)) == 4 and "\x1b" not in out + err
    (sheet,) = (path for path in tmp_path.rglob("*.png") if path.with_suffix(".json").exists())
    assert read_record(sheet)["prompt"].split() == prompt.replace("{0}", "0").split()


def test_a_terminal_that_cannot_show_chinese_is_no_obstacle(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["imagine", "红色的斑马", "--weights", weights, *QUICK]) == 0
    sys.stdout.flush()
    assert b"\\u7ea2" in sys.stdout.buffer.getvalue()


def test_large_pictures_are_drawn_one_by_one_and_are_the_same(imagine, weights, tmp_path, monkeypatch):
    monkeypatch.setattr("minidiffusion.pipelines.batches.LARGEST_AT_ONCE", 16)
    status, out, _ = imagine(PROMPT, "--seed", "5", "--size", "32", "--out", "sheet.png")
    assert status == 0 and "2 pictures of 32 x 32 in" in out and read_record("sheet.png")["width"] == 32
    expected = TextToImage.load(weights).imagine(PROMPT, seeds=[6], steps=2, size=32)
    with PIL.Image.open("sheet-2.png") as single:
        assert single.tobytes() == expected[0].image.tobytes()


def test_progress_is_shown_on_a_terminal_and_elsewhere_only_if_it_is_long(imagine, monkeypatch):
    assert imagine(PROMPT, "--steps", "7")[2] == ""
    monkeypatch.setattr("minidiffusion.cli.draw.SECONDS_IN_SILENCE", 0)
    assert "/7 [" in imagine(PROMPT, "--steps", "7")[2]
    monkeypatch.setattr("minidiffusion.cli.draw.SECONDS_IN_SILENCE", 10)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "/7 [" in imagine(PROMPT, "--steps", "7")[2]


@pytest.mark.filterwarnings("ignore")  # what diffusers deprecates
def test_stable_diffusion_draws_with_what_suits_it_and_knows_every_word(run, tmp_path):
    save_pipeline(tmp_path / "sd")
    status, out, err = run("imagine", "a lighthouse", "--weights", "sd", *QUICK, "--no", "zebra", "--out", "a.png")
    assert (status, err) == (0, "") and "2 pictures of 64 x 64 in" in out
    record = read_record("a.png")
    assert (record["guidance"], record["width"], record["prompt"]) == (7.5, 64, "a lighthouse --no zebra")
    for sampler in ("ddim", "plms"):
        said = ("--sampler", sampler, "--guidance", "2", "--size", "128", "--n", "1", "--steps", "2")
        assert run("imagine", "a lighthouse", "--weights", "sd", *said, "--out", "b.png")[0] == 0
        assert [read_record("b.png")[key] for key in ("sampler", "guidance", "height")] == [sampler, 2.0, 128]
    assert "not read is" in run("imagine", "lighthouse " * 76, "--weights", "sd", *QUICK)[2]
    assert_refused(run("imagine", "a", "--weights", "sd", "--size", "100"), 2, "the nearest: 64 and 128.")
    (tmp_path / "sd" / "vae" / "config.json").write_text("{}")
    assert_refused(run("imagine", "a", "--weights", "sd"), 1, "lacks the field latent_channels")


# -------------------------------------------------------------------------------------------------------------- remarks


def test_unknown_words_are_named_with_the_nearest_known_ones(run, weights, monkeypatch, tmp_path):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "picturebook").symlink_to(weights)
    monkeypatch.setattr("minidiffusion.pretrained.weights.SHIPPED", tmp_path / "shipped")
    status, _, err = run("imagine", "a red hous and a zebra, 斑马", *QUICK, "--no", "snou")
    lines = err.splitlines()
    assert status == 0 and len(lines) == 3
    assert lines[0].startswith('Unknown word "hous"; the nearest known words: house')
    assert lines[1].startswith('Unknown: "zebra", "斑马"; known subjects: house, castle')
    assert lines[2].startswith('Unknown word "snou"; the nearest known words: snow')


def test_weights_of_ones_own_know_the_words_that_they_were_trained_on(imagine):
    remark = 'Unknown word "lighthouse"; the nearest known words: house.\n'
    assert imagine("the lighthouse in the snow")[2] == remark  # the picture book knows lighthouses


def test_what_is_too_long_and_what_is_empty_is_said(imagine):
    err = imagine(" ".join(["red"] * 22 + ["blue", "cat"]))[2]
    assert err == 'The text is longer than the context; not read is: "blue cat".\n'
    assert imagine(" \n")[2] == "The prompt is empty, so the pictures are of anything.\n"


# ------------------------------------------------------------------------------------------------------------- failures


def assert_refused(result: tuple[int, str, str], status: int, *parts: str) -> None:
    r"""One sentence on standard error, nothing else, and the right exit status."""
    assert result[0] == status and result[1] == ""
    assert len(result[2].splitlines()) == 1 and result[2].startswith("minidiffusion: ")
    assert all(part in result[2] for part in parts), result[2]


@pytest.mark.parametrize(
    ("arguments", "valid"),
    [
        (["--seed", "-1"], "seed must be between 0 and 4294967295, got -1."),
        (["--seed", "4294967296"], "between 0 and 4294967295, got 4294967296."),
        (["--n", "0"], "n must be between 1 and 64, got 0."),
        (["--n", "65"], "between 1 and 64, got 65."),
        (["--n", "1000000000"], "between 1 and 64"),
        (["--steps", "0"], "steps must be at least 1, got 0."),
        (["--steps", "51"], "steps must be between 1 and 50, got 51."),
        (["--guidance", "nan"], "guidance must be between 0 and 100, got nan."),
        (["--guidance", "inf"], "between 0 and 100"),
        (["--guidance", "-1"], "between 0 and 100"),
        (["--threads", "0"], "threads must be between 1 and 1024, got 0."),
        (["--size", "17"], "a multiple of 16 up to 2048, got 17; the nearest: 16 and 32."),
        (["--out", "picture.jpg"], ".png"),
    ],
)
def test_bad_settings_are_refused_with_what_is_valid_and_nothing_is_written(imagine, tmp_path, arguments, valid):
    assert_refused(imagine(PROMPT, *arguments), 2, valid)
    assert written(tmp_path) == [] and os.listdir(tmp_path) == []


def test_a_sampler_that_there_is_not_is_refused_with_those_that_there_are(imagine, monkeypatch):
    monkeypatch.setattr(SamplingSettings, "__init__", unchecked(SamplingSettings.__init__))
    assert_refused(imagine(PROMPT, "--sampler", "rk4"), 2, "ddpm, ddim, euler, heun, plms, dpm++", "got 'rk4'")


@pytest.mark.parametrize("arguments", [["--seed", "one"], ["--sead", "1"], ["--n"], []])
def test_options_that_cannot_be_parsed_leave_with_status_2(run, arguments):
    status, _, err = run("imagine", *(["red", *arguments] if arguments else []))
    assert status == 2 and "minidiffusion imagine --help" in err and "Traceback" not in err


def test_what_cannot_be_written_is_said(imagine, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert_refused(imagine(PROMPT, "--out", "file"), 1, "Cannot make the folder file")
    assert_refused(imagine(PROMPT, "--out", "file/sheet.png"), 1, "Cannot make the folder file")
    assert written(tmp_path) == ["file"]
    (tmp_path / "folder.png").mkdir()
    assert imagine(PROMPT, "--out", "folder.png")[0] == 0  # a folder is a folder, whatever its name


def test_missing_and_damaged_weights_are_said(run, weights, tmp_path):
    assert_refused(run("imagine", PROMPT, "--weights", "nowhere"), 1, "no weights 'nowhere'")
    (tmp_path / "empty").mkdir()
    assert_refused(run("imagine", PROMPT, "--weights", "empty"), 1, INDEX)
    for path in Path(weights).iterdir():
        (tmp_path / "empty" / path.name).write_bytes(path.read_bytes()[:-1])
        assert_refused(run("imagine", PROMPT, "--weights", "empty"), 1, "empty")
    assert not (tmp_path / "pictures").exists()


def test_an_interruption_is_no_failure(imagine, monkeypatch):
    def interrupted(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(TextToImage, "generate", interrupted)
    assert imagine(PROMPT) == (130, "", "Interrupted.\n")


def test_debug_shows_where_a_failure_arose(imagine, run, monkeypatch):
    with pytest.raises(ValueError, match="between 1 and 64"):
        imagine(PROMPT, "--n", "0", "--debug")
    with pytest.raises(ValueError, match="between 1 and 64"):
        run("--debug", "imagine", PROMPT, "--n", "0")
    monkeypatch.setenv("MINIDIFFUSION_DEBUG", "1")
    with pytest.raises(ValueError, match="between 1 and 64"):
        imagine(PROMPT, "--n", "0")
    monkeypatch.setenv("MINIDIFFUSION_DEBUG", "0")
    assert imagine(PROMPT, "--n", "0")[0] == 2


@pytest.mark.parametrize("fault", [ZeroDivisionError, ValueError, OSError, FloatingPointError])
def test_a_fault_of_the_program_keeps_its_traceback(imagine, monkeypatch, fault):
    def broken(*args, **settings):
        raise fault("not what a user gave")

    monkeypatch.setattr(TextToImage, "generate", broken)
    with pytest.raises(fault, match="not what a user gave"):
        imagine(PROMPT)


def test_a_value_error_of_torch_is_seen_in_a_terminal_with_its_traceback(weights, tmp_path):
    planted = (
        "import sys, torch; from minidiffusion.cli import main;"
        "torch.nn.functional.silu = lambda x, *rest: torch.nn.functional.dropout(x, 2);"
        f"sys.exit(main(['imagine', 'a', '--weights', {weights!r}, '--steps', '2', '--n', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", planted], capture_output=True, text=True, cwd=tmp_path, timeout=170)
    assert done.returncode == 1 and done.stderr.startswith("Traceback (most recent call last):")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: dropout probability") and "unet.py" in done.stderr


# ------------------------------------------------------------------------------------------------------- other commands


def test_help_names_the_commands_and_their_options(run):
    for flag in ("--help", "-h"):
        status, out, _ = run(flag)
        assert status == 0 and all(command in out for command in commands())
    assert run("--version") == (0, __version__ + "\n", "")


OPTIONS = {
    "imagine": "PROMPT --seed --n --steps --guidance --no --sampler --size --out --weights --threads --drafts",
    "vary": "PICTURE --strength --prompt --seed --n --no --out",
    "repaint": "PICTURE --mask",
    "zoom": "PICTURE --factor",
    "pan": "PICTURE {left,right,up,down}",
    "blend": "PICTURE PICTURE ...",
    "upscale": "PICTURE --strength",
    "search": "WORDS FOLDER --like --n --out --weights --threads",
    "train": "vae clip unet upscaler codebook tokens judge digits",
    "evaluate": "--prompts --model --out",
    "app": "--port --folder --weights --threads",
}


@pytest.mark.parametrize("command", commands())
def test_every_command_explains_itself(run, command):
    status, out, err = run(command, "--help")
    assert (status, err) == (0, "") and f"usage: minidiffusion {command}" in out and "Raises" not in out
    assert all(f"{option} " in out for option in OPTIONS.get(command, "").split())


def test_without_a_command_that_exists_the_commands_are_named(run):
    valid = f"the commands: {', '.join(commands())}."
    assert len(commands()) == 20 and "imagine, flags, book" in valid
    assert_refused(run(), 2, f"A command is missing; {valid}")
    assert_refused(run("imagin", PROMPT), 2, f'"imagin" is not a command; {valid}')


def test_evaluate_prints_the_table(run, monkeypatch):
    asked = []
    report = SimpleNamespace(table=lambda: "98 %")
    monkeypatch.setattr(evaluate, "evaluate", lambda config: asked.append(config) or report)
    assert run("evaluate", "--prompts", "8", "--weights", "mine", "--out", "report.json") == (0, "98 %\n", "")
    assert (asked[0].prompts, asked[0].weights, asked[0].out) == (8, "mine", Path("report.json"))
    assert run("evaluate", "--prompts", "0")[0] == 2


RECIPE = ("--recipe.steps", "2", "--recipe.batch", "4", "--recipe.warmup", "0", "--out", "mine", "--data", "photos")
NETWORKS = {
    "vae": "--model.latent-channels 4 --model.channels 8 8 --model.groups 4",
    "clip": "--model.text-width 16 --model.text-layers 1 --model.text-heads 2 --model.patch-size 32 "
    "--model.vision-width 16 --model.vision-layers 1 --model.vision-heads 2 --captions-for-tokenizer 8",
    "unet": "--model.in-channels 4 --model.channels 8 8 --model.groups 4 --model.heads 2 --model.context-dim 16 --T 50",
}


def test_training_on_ones_own_pictures_ends_in_weights_that_draw(run, tmp_path):
    (tmp_path / "photos").mkdir()
    for i, noun in enumerate(["noise", "snow", "rain", "dust"]):
        noise = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(tmp_path / "photos" / f"{i}.png")
        (tmp_path / "photos" / f"{i}.txt").write_text(f"photo of {noun}")
    for network, model in NETWORKS.items():
        status, out, err = run("train", network, *model.split(), *RECIPE)
        assert status == 0, err
        assert "mine" in out
    assert_refused(run("train", "vae", *NETWORKS["vae"].split(), *RECIPE), 1, "--resume")
    assert run("train", "vae", *NETWORKS["vae"].split(), *RECIPE, "--resume")[0] == 0

    status, _, err = run("imagine", "photo of snow and dust", "--weights", "mine", *QUICK)
    assert status == 0 and err.startswith('Unknown word "and"') and len(err.splitlines()) == 1


def test_clip_can_be_trained_on_the_emoji_that_are_not_held_out(run, tmp_path):
    arguments = [*NETWORKS["clip"].split(), *RECIPE[:-2], "--augment"]
    assert run("train", "clip", *arguments, "--data", "emoji")[0] == 0
    summary = json.loads((tmp_path / "mine" / "training" / "clip" / "summary.json").read_bytes())
    assert summary["pictures"] == len(emoji(skin_tones=False).split(held_out=False)) == 1496
    assert summary["settings"]["augment"] and json.loads(Path("mine", "clip.json").read_bytes())["picture_size"] == 32
    assert (tmp_path / "mine" / "tokenizer.json").exists()

    assert_refused(run("train", "clip", *arguments, "--data", "./emoji"), 2, "emoji is not a folder")
    assert_refused(run("train", "judge", "--data", "emoji"), 2, "so it takes no --data")


def test_trainings_that_cannot_be_are_refused(run):
    assert_refused(run("train", "vae", "--data", "nowhere"), 2, "nowhere is not a folder")
    assert_refused(run("train", "judge", "--data", "nowhere"), 2, "so it takes no --data")
    assert_refused(run("train", "digits", "--data", "nowhere"), 2, "so it takes no --data")
    assert_refused(run("train", "unet", "--pictures", "0"), 2, "pictures must be at least 1, got 0.")
    for arguments in (["vae", "--recipe.lr", "nan"], ["vea"], ["vae", "--recipe.steps", "0"], []):
        status, _, err = run("train", *arguments)
        assert status == 2 and "Traceback" not in err


# -------------------------------------------------------------------------------------------------------------- imports


def loaded_after(code: str) -> set[str]:
    r"""The modules that a fresh interpreter has loaded after running the code."""
    code += "\nimport sys; print('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=170)
    return set(done.stdout.split("loaded:")[-1].split())


def test_importing_the_package_and_asking_for_help_is_quick():
    assert not loaded_after("import minidiffusion") & {"torch", "numpy", "tyro", "PIL"}
    modules = loaded_after("from minidiffusion.cli import main; main(['--help'])")
    assert not modules & {"torch", "numpy", "PIL", "minidiffusion.pipelines.text_to_image"}


def test_what_is_wrong_with_a_prompt_is_said_without_pytorch():
    said = "from minidiffusion.cli import main; assert main(['imagine', 'a house --sead 3']) == 2"
    assert not loaded_after(said) & {"torch", "numpy", "PIL"}


def test_making_pictures_loads_nothing_it_does_not_need(weights, tmp_path):
    arguments = ["imagine", "a", "--weights", weights, *QUICK, "--out", str(tmp_path / "a.png")]
    modules = loaded_after(f"from minidiffusion.cli import main; assert main({arguments}) == 0")
    unneeded = {"triton", "gradio", "matplotlib", "scipy", "transformers", "diffusers", "minidiffusion.tokens.seq2seq"}
    assert "torch" in modules and not modules & unneeded
