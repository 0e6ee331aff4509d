import dataclasses
import json
import os
import random
import signal
import time

import pytest
import torch
from tiny_task import TinyTask

from minidiffusion.checkpoint import CheckpointError, load_state, save_state
from minidiffusion.training.loop import train
from minidiffusion.training.resume import differences
from minidiffusion.training.task import Recipe

RECIPE = Recipe(steps=20, batch=8, lr=1e-2, warmup=4, ema=0.9, save_every=5, sheet_every=5, log_every=2)


def equal(a, b):
    """Bit for bit, through any nesting of dicts and lists."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def state_without_time(folder):
    state = load_state(folder / "training.pt")
    del state["seconds"]
    return state


def log_without_time(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line.keys() - {"seconds", "pictures_per_second"}} for line in lines]


def summary_without_time(folder):
    return {key: value for key, value in json.loads((folder / "summary.json").read_text()).items() if key != "seconds"}


def same_files(a, b):
    names = sorted(path.name for path in a.iterdir())
    assert names == sorted(path.name for path in b.iterdir())
    for name in names:
        if name not in ("log.jsonl", "training.pt", "summary.json"):
            assert (a / name).read_bytes() == (b / name).read_bytes(), name
    if "summary.json" in names:
        assert summary_without_time(a) == summary_without_time(b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, losses) of the training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, [record.loss for record in train(TinyTask(), RECIPE, folder)]


# ------------------------------------------------------------------------------------------------ to the bit


@pytest.mark.parametrize("stop", [10, 13, 3])  # at a checkpoint, between two, before the first
def test_a_stopped_training_goes_on_to_the_same_bits(whole, tmp_path, stop):
    records = train(TinyTask(), RECIPE, tmp_path)
    losses = [next(records).loss for _ in range(stop)]
    records.close()
    torch.randn(1)  # whatever happens to the global generator in between does not matter
    rest = list(train(TinyTask(), RECIPE, tmp_path, resume=True))
    assert rest[0].step == stop // 5 * 5 + 1
    assert losses[: rest[0].step - 1] + [record.loss for record in rest] == whole[1]
    assert equal(state_without_time(tmp_path), state_without_time(whole[0]))
    assert log_without_time(tmp_path) == log_without_time(whole[0])
    same_files(tmp_path, whole[0])


def test_a_finished_training_resumes_to_nothing_but_its_weights(whole, tmp_path):
    list(train(TinyTask(), RECIPE, tmp_path))
    (tmp_path / "tiny.safetensors").unlink()  # killed after the last checkpoint, before the weights were written
    assert list(train(TinyTask(), RECIPE, tmp_path, resume=True)) == []
    same_files(tmp_path, whole[0])


def test_seconds_add_up_over_the_interruptions(tmp_path):
    records = train(TinyTask(), RECIPE, tmp_path)
    for _ in range(5):
        next(records)
    records.close()
    state = load_state(tmp_path / "training.pt")
    save_state(tmp_path / "training.pt", state | {"seconds": 1000.0})
    list(train(TinyTask(), RECIPE, tmp_path, resume=True))
    seconds = [json.loads(line)["seconds"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert seconds[1] < 1000 <= seconds[2] < 1100  # steps 4 and 6


@pytest.mark.slow
def test_sigkill_at_random_moments_never_breaks_a_checkpoint_nor_changes_a_bit(nursery, tmp_path):
    """24 kills; each waits for a random step and then for a random time, which may fall into the writing of files."""
    rng = random.Random(0)
    recipe = dataclasses.replace(RECIPE, steps=400, save_every=3, sheet_every=100)
    job = {"task": {}, "recipe": dataclasses.asdict(recipe)}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for _ in range(24):
        child = nursery.start(folder=str(killed), **job)
        for _ in range(rng.randrange(1, 15)):
            assert nursery.next_step() < recipe.steps
        time.sleep(rng.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        assert nursery.wait(child) == -signal.SIGKILL
        if (killed / "training.pt").exists():
            assert load_state(killed / "training.pt")["step"] % 3 == 0
    for folder in (killed, whole):
        assert nursery.wait(nursery.start(folder=str(folder), **job)) == 0
    assert equal(state_without_time(killed), state_without_time(whole))
    assert log_without_time(killed) == log_without_time(whole)
    same_files(killed, whole)


# ------------------------------------------------------------------------------------------------ what is refused


def test_a_folder_with_a_training_is_not_overwritten(whole):
    before = (whole[0] / "training.pt").read_bytes()
    with pytest.raises(CheckpointError, match=r"already holds a training: resume it \(--resume\) or choose another"):
        next(train(TinyTask(), RECIPE, whole[0]))
    assert (whole[0] / "training.pt").read_bytes() == before


def refused(folder, task, recipe):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError) as caught:
        next(train(task, recipe, folder, resume=True))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    return str(caught.value)


def test_another_recipe_is_refused_and_the_difference_named(whole):
    sentence = refused(whole[0], TinyTask(), dataclasses.replace(RECIPE, lr=3e-4, steps=30))
    assert "recipe.steps was 20, is now 30; recipe.lr was 0.01, is now 0.0003. Set that back" in sentence


def test_another_network_or_other_pictures_are_refused(whole):
    sentence = refused(whole[0], TinyTask(width=16), RECIPE)
    assert "settings.config.width was 8, is now 16; shape.table.weight was [4, 8], is now [4, 16]" in sentence
    assert "and 6 more" in sentence
    task = TinyTask()
    task.data = task.data[:49]
    assert "pictures was 50, is now 49." in refused(whole[0], task, RECIPE)
    task = TinyTask()
    task.settings = {"task": "other", "config": task.config}
    assert "settings.task was tiny, is now other." in refused(whole[0], task, RECIPE)


def test_differences_walk_nested_dicts():
    assert differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "e": None}) == [
        "a.c was 2, is now 5",
        "d was 3, is now absent",
        "e was absent, is now None",
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: {},
        lambda state: state | {"fingerprint": "not json"},
        lambda state: state | {"fingerprint": "[]"},
        lambda state: state | {"model": {}},
        lambda state: state | {"ema": 3},
        lambda state: state | {"optimizers": [{"state": {}, "param_groups": []}]},
        lambda state: state | {"optimizers": []},
        lambda state: {key: value for key, value in state.items() if key != "step"},
        lambda state: state | {"step": "many"},
    ],
)
def test_a_checkpoint_with_strange_contents_is_refused(whole, tmp_path, spoil):
    save_state(tmp_path / "training.pt", spoil(load_state(whole[0] / "training.pt")))
    assert "training.pt" in refused(tmp_path, TinyTask(), RECIPE)


def test_a_damaged_checkpoint_is_refused(whole, tmp_path):
    data = (whole[0] / "training.pt").read_bytes()
    (tmp_path / "training.pt").write_bytes(data[: len(data) // 2])
    assert "not a whole training checkpoint" in refused(tmp_path, TinyTask(), RECIPE)


def test_leftovers_of_a_kill_are_cleared_and_the_log_cut(whole, tmp_path):
    for name in ("training.pt", "log.jsonl"):
        (tmp_path / name).write_bytes((whole[0] / name).read_bytes())
    (tmp_path / ".training.pt.1234.tmp").write_bytes(b"half")
    (tmp_path / "mine.tmp").write_bytes(b"not ours")
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 21, "loss": 1.0}\n{"step": 2')
    list(train(TinyTask(), RECIPE, tmp_path, resume=True))
    assert not (tmp_path / ".training.pt.1234.tmp").exists() and (tmp_path / "mine.tmp").exists()
    assert (tmp_path / "log.jsonl").read_bytes() == (whole[0] / "log.jsonl").read_bytes()


def test_a_log_that_is_not_ours_is_not_thrown_away(whole, tmp_path):
    (tmp_path / "training.pt").write_bytes((whole[0] / "training.pt").read_bytes())
    (tmp_path / "log.jsonl").write_text("dear diary\n")
    assert "log.jsonl is damaged" in refused(tmp_path, TinyTask(), RECIPE)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"Cannot make the folder .*file/run: Not a directory"):
        next(train(TinyTask(), RECIPE, tmp_path / "file" / "run"))
