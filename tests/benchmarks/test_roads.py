r"""Both pipelines compared, with tiny random models: do all get the same prompts, and are the calls counted right?"""

import pytest
import torch

from benchmarks import roads
from benchmarks.harness import read_csv
from minidiffusion.checkpoint import save_model
from minidiffusion.evaluation.judge import Judge, JudgeConfig, load_judge
from minidiffusion.pipelines.text_to_image import TextToImage
from tests.tiny import tiny_model
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline


@pytest.fixture(scope="module")
def models():
    tokens, model = tiny_token_pipeline(size=64), tiny_model()
    return TextToImage(tokens.tokenizer, tokens.clip, model.unet, model.vae, T=50), tokens


@pytest.fixture(scope="module")
def exam():
    return roads.Exam(load_judge(), 24, 96)


def test_the_calls_are_those_that_the_networks_get(models, exam, monkeypatch):
    monkeypatch.setattr(roads, "STEPS", (2, 5))
    monkeypatch.setattr(roads, "DRAFTS", (1, 3))
    diffusion, tokens = models
    calls, step = [], tokens.transformer.step
    monkeypatch.setattr(tokens.transformer, "step", lambda ids, cache: calls.append(len(ids) / 2) or step(ids, cache))
    hook = diffusion.unet.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0]) / 2))
    for contender in roads.contenders(*models):
        calls.clear()
        assert contender.draw(exam.seen[:2], [0, 1]).shape == (2, 3, 64, 64)
        assert sum(calls) == 2 * contender.calls, contender  # with guidance, for a prompt there are two rows
    hook.remove()


def test_real_pages_are_right_and_diverse_noise_is_wrong_and_one_page_a_prompt_is_not_diverse(models, exam):
    def noise(prompts, seeds):
        return torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)).expand(len(seeds), -1, -1, -1)

    def alike(prompts, seeds):
        return roads.renders([prompt.scene for prompt in prompts])

    (real,) = (contender for contender in roads.contenders(*models) if contender.road == "real")
    found = {}
    for contender in (real, roads.Contender("noise", "", 0, noise), roads.Contender("alike", "", 0, alike)):
        found[contender.road] = {row.metric: row.value for row in exam.examine(contender)}
    assert found["real"][f"{roads.ALL}, seen"] > 0.9 and found["real"]["attributes right, held out"] > 0.9
    assert found["noise"][f"{roads.ALL}, seen"] < 0.2
    assert 0 < 2 * found["real"][roads.FRECHET] < found["noise"][roads.FRECHET]
    assert found["alike"][f"{roads.ALL}, seen"] > 0.9
    assert found["alike"][roads.DIVERSITY] < 1e-5 < 1 < found["real"][roads.DIVERSITY]
    assert roads.SECONDS not in found["real"]


def test_it_runs_on_any_two_folders_and_leaves_rows_and_a_plot(models, tmp_path, monkeypatch):
    diffusion, tokens = models
    diffusion.save(tmp_path / "a")
    config = JudgeConfig(channels=(8, 8, 8), features=32)
    save_model(tmp_path / "a", "judge", Judge(config), config)
    (tmp_path / "b").mkdir()
    save_token_pipeline(tmp_path / "b", tokens)
    monkeypatch.setattr(roads, "STEPS", (1, 3))
    monkeypatch.setattr(roads, "DRAFTS", (1, 2))
    folders = ("--diffusion", str(tmp_path / "a"), "--tokens", str(tmp_path / "b"))
    roads.main([*folders, "--prompts", "8", "--real", "8", "--out", str(tmp_path)])
    rows = read_csv(tmp_path / "roads.csv")
    assert {row["road"] for row in rows} == {*roads.STYLES, *roads.REFERENCES}
    assert len(rows) == 4 * 7 + 3 * 6 and all(row["value"] for row in rows)
    assert (tmp_path / "roads.png").stat().st_size > 20_000
