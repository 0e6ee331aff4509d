import contextlib
import dataclasses
import json
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_task import TinyConfig, TinyNetwork, TinyTask
from torch import nn

from minidiffusion.checkpoint import load_model, load_state
from minidiffusion.errors import UserError
from minidiffusion.training import loop
from minidiffusion.training.loop import derive_seed, make_generator, train
from minidiffusion.training.optimizer import warmup_cosine
from minidiffusion.training.progress import run_with_progress
from minidiffusion.training.task import Recipe, Task

RECIPE = Recipe(steps=12, batch=8, lr=1e-2, warmup=4, ema=0.9, save_every=5, sheet_every=4, log_every=3)


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------------------------------------ recipe


@pytest.mark.parametrize("name", ["lr", "weight_decay", "clip_grad", "ema"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_recipe_refuses_what_is_not_finite(name, value):
    with pytest.raises(UserError, match=f"^{name} must be finite, got {value}\\."):
        replace(RECIPE, **{name: value})


NUMBERS = [field for field in dataclasses.fields(Recipe) if field.type is not bool]


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_recipe_refuses_negative_numbers(field):
    with pytest.raises(UserError, match=f"^{field.name} must be .*, got -1"):
        replace(RECIPE, **{field.name: field.type(-1)})


@pytest.mark.parametrize("name", ["steps", "batch", "lr", "clip_grad", "save_every", "log_every"])
def test_recipe_refuses_zero_where_nothing_would_happen(name):
    with pytest.raises(UserError, match=f"^{name} must be greater than 0, got 0"):
        replace(RECIPE, **{name: type(getattr(RECIPE, name))(0)})


def test_recipe_refuses_a_warmup_longer_than_the_training_and_an_average_that_never_moves():
    with pytest.raises(UserError, match=r"^warmup must be at most the number of steps, 12, got 13\."):
        replace(RECIPE, warmup=13)
    with pytest.raises(UserError, match=r"^ema must be at least 0 and less than 1, got 1"):
        replace(RECIPE, ema=1.0)


def test_recipe_allows_to_switch_off_what_is_optional():
    assert replace(RECIPE, ema=0.0, warmup=0, weight_decay=0.0, sheet_every=0).sheet_every == 0


# ------------------------------------------------------------------------------------------------ optimiser


def test_loop_uses_the_schedule_and_shortens_gradients(tmp_path):
    recipe = replace(RECIPE, clip_grad=0.01)
    task, lengths = TinyTask(), []
    task.after_step = lambda: lengths.append(nn.utils.get_total_norm([p.grad for p in task.model.parameters()]).item())
    list(train(task, recipe, tmp_path))
    assert lengths == pytest.approx([0.01] * 12, rel=1e-3)
    assert read_log(tmp_path)[0]["gradient_norm"] > 0.1  # the log tells the length before
    (optimizer,) = load_state(tmp_path / "training.pt")["optimizers"]
    rates = [group["lr"] for group in optimizer["param_groups"]]
    assert rates == [recipe.lr * warmup_cosine(11, 12, recipe.warmup)] * 2


# ------------------------------------------------------------------------------------------------ randomness


def test_every_seed_step_and_stream_has_its_own_numbers():
    streams = ("indices", "noise 0", "noise 1")
    seeds = {derive_seed(seed, step, stream) for seed in range(10) for step in range(100) for stream in streams}
    assert len(seeds) == 3000
    assert derive_seed(1, 23, "noise 0") != derive_seed(12, 3, "noise 0")
    first, second = (torch.randn(4, generator=make_generator(0, 5)) for _ in range(2))
    assert torch.equal(first, second)


def test_steps_draw_from_all_pictures_and_do_not_repeat(tmp_path):
    task = TinyTask()
    list(train(task, replace(RECIPE, steps=60), tmp_path))
    batches = [tuple(indices.tolist()) for indices, _ in task.seen]
    assert len(set(batches)) == 60
    assert {i for batch in batches for i in batch} == set(range(50))
    assert len({noise.sum().item() for _, noise in task.seen}) == 60


def test_another_seed_is_another_training(tmp_path):
    losses = [
        [record.loss for record in train(TinyTask(), replace(RECIPE, seed=seed), tmp_path / str(i))]
        for i, seed in enumerate([0, 0, 1])
    ]
    assert losses[0] == losses[1] != losses[2]


# ------------------------------------------------------------------------------------------------ records and files


def test_training_learns_and_records_every_step(tmp_path):
    recipe = replace(RECIPE, steps=200)
    records = list(train(TinyTask(noisy=False), recipe, tmp_path))
    assert [record.step for record in records] == list(range(1, 201))
    first, last = (sum(r.loss for r in part) for part in (records[:20], records[-20:]))
    assert last < 0.1 * first
    assert all(record.pictures_per_second > 0 for record in records)
    assert records[0].seconds_left > 0 and records[-1].seconds_left == 0
    assert records[0].numbers["worst"] > 0


def test_folder_holds_log_sheets_checkpoint_and_weights(tmp_path):
    folder = tmp_path / "new" / "run"
    records = list(train(TinyTask(), RECIPE, folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        "log.jsonl",
        "sheet_0000004.png",
        "sheet_0000008.png",
        "sheet_0000012.png",
        "summary.json",
        "tiny.json",
        "tiny.safetensors",
        "training.pt",
    ]
    log = read_log(folder)
    assert [line["step"] for line in log] == [3, 6, 9, 12]
    assert [line["loss"] for line in log] == [records[i].loss for i in (2, 5, 8, 11)]
    assert log[0].keys() == {"step", "loss", "worst", "pictures", "gradient_norm", "pictures_per_second", "seconds"}
    with Image.open(folder / "sheet_0000012.png") as sheet:
        assert sheet.size == (2, 2)


def test_average_is_what_is_saved_at_the_end(tmp_path):
    task = TinyTask()
    list(train(task, RECIPE, tmp_path))
    saved = load_model(tmp_path, "tiny", TinyConfig, TinyNetwork).state_dict()
    average = load_state(tmp_path / "training.pt")["ema"]
    assert all(torch.equal(saved[name], average[name]) for name in average)
    assert not torch.equal(saved["head.weight"], task.model.head.weight)


@dataclasses.dataclass(frozen=True)
class LeastTraining:
    recipe: Recipe = RECIPE
    model: TinyConfig = TinyConfig(4)


class LeastTask(Task[TinyNetwork]):
    name, network = "least", TinyNetwork

    def loss(self, model, indices, generator):
        return model(self.data[indices], indices % 4).square().mean(), {}


def test_a_task_needs_no_more_than_a_network_and_a_loss(tmp_path):
    tasks = [LeastTask(LeastTraining(replace(RECIPE, seed=seed)), torch.ones(9, 3), tmp_path) for seed in (3, 3, 4)]
    same, also_same, other = (task.model.head.weight for task in tasks)
    assert torch.equal(same, also_same) and not torch.equal(same, other)
    list(train(tasks[0], RECIPE, tmp_path / "training"))
    assert not list((tmp_path / "training").glob("sheet*"))
    saved = load_model(tmp_path, "least", TinyConfig, TinyNetwork)
    average = load_state(tmp_path / "training" / "training.pt")["ema"]["head.weight"]
    assert torch.equal(saved.head.weight, average.half().float())
    assert json.loads((tmp_path / "least.json").read_text()) == {"width": 4}
    assert json.loads((tmp_path / "training" / "summary.json").read_text())["settings"]["task"] == "least"


def test_the_progress_bar_shows_loss_and_speed(tmp_path, capsys):
    assert run_with_progress(train(TinyTask(), RECIPE, tmp_path), RECIPE.steps, "tiny").step == 12
    bar = capsys.readouterr().err
    assert "tiny: 100%" in bar and "12/12" in bar and "loss=" in bar and "pictures/s=" in bar
    assert run_with_progress(train(TinyTask(), RECIPE, tmp_path, resume=True), RECIPE.steps) is None


def test_only_the_first_process_shows_a_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run_with_progress(train(TinyTask(), RECIPE, tmp_path), RECIPE.steps)
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------------------------ what can go wrong


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_checkpoint(tmp_path):
    task = TinyTask()
    honest = task.loss
    task.loss = lambda *args: honest(*args) if len(task.seen) < 7 else (task.model.head.bias.sum() * math.nan, {})
    with pytest.raises(UserError, match=r"^The loss became nan .* at step 8; .*smaller lr than 0.01"):
        list(train(task, RECIPE, tmp_path))
    state = load_state(tmp_path / "training.pt")
    assert state["step"] == 5
    assert all(tensor.isfinite().all() for tensor in [*state["model"].values(), *task.model.state_dict().values()])


def test_no_pictures_no_training(tmp_path):
    task = TinyTask()
    task.data = []
    with pytest.raises(UserError, match="no pictures"):
        next(train(task, RECIPE, tmp_path))


# ------------------------------------------------------------------------------------------------ several processes


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(nursery, tmp_path):
    recipe = replace(RECIPE, steps=5, log_every=1, sheet_every=0)
    job = {"task": {"noisy": False}, "recipe": dataclasses.asdict(recipe)}
    torchrun = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(nursery.free_port())}
    children = [nursery.start(folder=str(tmp_path / "one"), **job)]
    for rank in ("0", "1"):
        environment = {**torchrun, "RANK": rank, "LOCAL_RANK": rank}
        children.append(nursery.start(folder=str(tmp_path / "two"), environment=environment, **job))
    assert [nursery.wait(child) for child in children] == [0, 0, 0]

    one, two = (load_state(tmp_path / name / "training.pt") for name in ("one", "two"))
    assert [json.loads(state["fingerprint"])["processes"] for state in (one, two)] == [1, 2]
    for part in ("model", "ema"):
        for name, tensor in one[part].items():
            torch.testing.assert_close(two[part][name], tensor, rtol=0, atol=1e-6)
    logs = [read_log(tmp_path / name) for name in ("one", "two")]
    assert [log[0]["pictures"] for log in logs] == [8, 4]
    losses = [[line["loss"] for line in log] for log in logs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5) and len(losses[0]) == 5


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "process_group", lambda device: contextlib.nullcontext((0, 3)))
    with pytest.raises(UserError, match=r"^batch must be a multiple of the number of processes, 3, got 8"):
        next(train(TinyTask(), RECIPE, tmp_path))
