r"""The evaluation, of models whose figures are known in advance.

Instead of a trained judge there is an oracle: in these tests a render carries its labels in the first pixels of its
first row, where the oracle reads them.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minidiffusion.checkpoint import CheckpointError, save_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.errors import UserError
from minidiffusion.evaluation import exam_prompts
from minidiffusion.evaluation.contact_sheet import GAP, SIDE
from minidiffusion.evaluation.evaluate import EvaluateConfig, Examinee, evaluate, examine, neighbours, prompt_accuracy
from minidiffusion.evaluation.exam_prompts import ExamPrompt, companion, draw_prompts, exam_rng, renders
from minidiffusion.evaluation.judge import CLASSES, Judge, JudgeConfig
from minidiffusion.evaluation.report import Report, Share
from minidiffusion.images.pixels import to_pixels
from minidiffusion.picturebook.scene import ATTRIBUTES, Scene, random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenSamplingSettings
from minidiffusion.pretrained.weights import find_weights
from tests.tiny import tiny_model
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline

QUICK = EvaluateConfig(prompts=120, held_out_prompts=60, diverse_prompts=30, real=200, training=2)


def stamped(scene: Scene) -> np.ndarray:
    r"""A quick render: the labels in one corner, below them two bands of colour and noise that depends on the seed."""
    rng = np.random.default_rng(scene.seed)
    picture = rng.integers(0, 120, (64, 64, 3), dtype=np.uint8)
    picture[20:40] += np.uint8(10 * scene.labels[0])
    picture[40:] += np.uint8(16 * scene.labels[1])
    picture[0, :7] = 20 * np.array(scene.labels)[:, None]
    return picture


class Oracle(Judge):
    r"""Reads the stamped labels; every tenth picture, it takes one subject for another."""

    def __init__(self):
        nn.Module.__init__(self)
        self.looked_at = 0

    def forward(self, x):
        labels = ((x[:, 0, 0, :7] + 1) * 127.5 / 20).round().long()
        for i in range(len(x)):
            self.looked_at += 1
            labels[i, 0] = (labels[i, 0] + (self.looked_at % 10 == 0)) % CLASSES["subject"]
        return {name: F.one_hot(labels[:, i].clamp(0, k - 1), k).float() for i, (name, k) in enumerate(CLASSES.items())}

    def features(self, x):
        return F.adaptive_avg_pool2d(x[:, :, 1:], (3, 1)).flatten(1)


@pytest.fixture
def prompts(monkeypatch) -> dict[str, ExamPrompt]:
    r"""The world of stamps; fills up with the prompts that are asked, by their texts."""
    asked = {}

    def recording(*args):
        drawn = draw_prompts(*args)
        asked.update({prompt.text: prompt for prompt in drawn})
        return drawn

    monkeypatch.setattr(exam_prompts, "render", stamped)
    monkeypatch.setattr("minidiffusion.evaluation.evaluate.draw_prompts", recording)
    return asked


def training(n: int = 300) -> torch.Tensor:
    rng = np.random.default_rng(1)
    return renders([random_scene(rng) for _ in range(n)])


def examined(generate, config: EvaluateConfig = QUICK) -> Report:
    return examine(Examinee(generate, lambda x: 0.9 * x, Oracle()), config, training().split(100))


def faithful(prompts: dict[str, ExamPrompt]):
    r"""Makes the real render of some scene of which the prompt is true: another one for each seed."""

    def generate(texts, seeds):
        rngs = [np.random.default_rng((seed, len(text))) for text, seed in zip(texts, seeds, strict=True)]
        return renders([companion(prompts[text], rng) for text, rng in zip(texts, rngs, strict=True)])

    return generate


def unconditional(texts, seeds):
    return renders([random_scene(np.random.default_rng((seed, 9)), "all") for seed in seeds])


class TestAFaithfulModel:
    def test_scores_what_the_judge_scores_on_real_renders(self, prompts):
        report = examined(faithful(prompts))
        for split in ("seen", "held out"):
            shares = report.accuracy[split]
            assert shares["subject"].right == pytest.approx(0.9 * shares["subject"].n, abs=1)
            assert shares["all at once"].right == pytest.approx(0.9 * shares["all at once"].n, abs=1)
            assert all(shares[name].right == shares[name].n for name in ATTRIBUTES if name != "subject")
            assert report.ceiling[split]["subject"] == Share(180, 200)
            assert report.ceiling[split]["all at once"] == Share(180, 200)

    def test_counts_only_what_is_mentioned(self, prompts):
        report = examined(faithful(prompts))
        seen = [p for p in prompts.values() if not p.scene.held_out][: QUICK.prompts]
        assert report.accuracy["seen"]["subject"].n == QUICK.prompts
        assert 0 < report.accuracy["seen"]["size"].n < 0.8 * QUICK.prompts
        assert report.accuracy["seen"]["colour"].n == sum("colour" in p.mentioned for p in seen)
        assert report.accuracy["held out"]["colour"].n == QUICK.held_out_prompts
        assert report.accuracy["seen"]["every single"].n == sum(report.accuracy["seen"][name].n for name in ATTRIBUTES)

    def test_is_as_near_and_as_varied_as_real_renders(self, prompts):
        report = examined(faithful(prompts))
        assert not report.neighbours.copies
        assert report.frechet["generated"] < 3 * report.frechet["real"]
        for unit in ("pixels", "features"):
            assert report.diversity[unit]["generated"] == pytest.approx(report.diversity[unit]["real"], rel=0.1)

    def test_every_language_is_reported(self, prompts):
        accuracy = examined(faithful(prompts)).accuracy
        assert list(accuracy) == ["seen", "held out", "seen, en", "held out, en", "seen, zh", "held out, zh"]
        assert accuracy["seen, en"]["all at once"].n == accuracy["seen, zh"]["all at once"].n == QUICK.prompts / 2


class TestOtherModels:
    def test_one_that_ignores_the_prompt_scores_at_chance(self, prompts):
        many = EvaluateConfig(prompts=300, held_out_prompts=2, diverse_prompts=2, real=20)
        shares = examined(unconditional, many).accuracy["seen"]
        for name, k in CLASSES.items():
            sigma = (1 / k * (1 - 1 / k) / shares[name].n) ** 0.5
            assert shares[name].right / shares[name].n == pytest.approx(1 / k, abs=4 * sigma)
        assert shares["all at once"].right < 10

    def test_one_that_copies_the_training_pictures_is_found_out(self, prompts):
        pages = training()

        def copy(texts, seeds):
            noise = torch.randn(len(seeds), 3, 64, 64, generator=torch.Generator().manual_seed(seeds[0]))
            return pages[[seed % len(pages) for seed in seeds]] + 0.05 * noise

        near = examined(copy).neighbours
        assert near.copies and near.closer == Share(QUICK.prompts, QUICK.prompts) and near.ratio < 0.5

    def test_one_that_draws_one_picture_a_prompt_has_no_diversity(self, prompts):
        draw = faithful(prompts)
        diversity = examined(lambda texts, seeds: draw(texts, [0] * len(seeds))).diversity
        assert diversity["pixels"]["generated"] == diversity["features"]["generated"] == 0
        assert diversity["pixels"]["real"] > 0.1

    def test_one_that_makes_grey_pictures_is_far_from_real_renders(self, prompts):
        frechet = examined(lambda texts, seeds: torch.zeros(len(seeds), 3, 64, 64)).frechet
        assert frechet["generated"] > 20 * frechet["real"]
        assert frechet["real, rebuilt"] > frechet["real"]


def test_every_generated_picture_has_its_own_seed_and_no_batch_is_too_large(prompts):
    asked = []

    def generate(texts, seeds):
        asked.append(seeds)
        return unconditional(texts, seeds)

    examined(generate, EvaluateConfig(prompts=20, held_out_prompts=5, diverse_prompts=2, real=20, batch=8))
    assert asked[:5] == [list(range(8)), list(range(8, 16)), list(range(16, 20)), list(range(8)), list(range(5))]


def test_attributes_that_a_prompt_does_not_mention_do_not_count():
    scene = Scene("cat", "blue", "sea", "night", "ink", "small", "left")
    prompts = [ExamPrompt(scene, "a cat at night", frozenset({"subject", "sky"}), "en")] * 2
    answers = torch.tensor([scene.labels, scene.labels])
    answers[0, 1:3] += 1  # another colour, another place: both not mentioned
    answers[1, 3] += 1  # another sky: mentioned
    shares = prompt_accuracy(prompts, answers)["seen"]
    assert shares["subject"] == Share(2, 2) and shares["sky"] == Share(1, 2) and shares["colour"] == Share(0, 0)
    assert shares["every single"] == Share(3, 4) and shares["all at once"] == Share(1, 2)


def test_neighbours_are_medians_and_the_share_nearer_than_one_percent_of_real_ones():
    rebuilt = torch.linspace(1, 2, 101)  # its first percentile is 1.01
    near = neighbours(torch.tensor([0.5, 1.0, 1.02, 3.0]), rebuilt, 2 * rebuilt)
    assert (near.generated, near.rebuilt, near.real) == pytest.approx((1.0, 1.5, 3.0))
    assert near.closer == Share(2, 4) and near.ratio == pytest.approx(2 / 3)


class TestReport:
    def test_the_table_shows_every_figure_with_its_interval(self, prompts):
        report = examined(faithful(prompts))
        table = report.table()
        assert str(report.accuracy["held out"]["all at once"]) == "90.0 (79.9 to 95.3)"
        for words in ("90.0 (79.9 to 95.3)", "watercolor", "real, rebuilt", "a grid of 4", "copy? ", "threads"):
            assert words in table
        rows = [line for line in table.splitlines() if line.startswith("| every single")]
        assert len(rows) == 2 and rows[0].count("|") == 8 and rows[1].count("|") == 10

    def test_json_holds_the_same_with_counts_and_intervals(self, prompts):
        report = examined(faithful(prompts))
        data = json.loads(report.to_json())
        share = data["obeyed"]["held out"]["all at once"]
        assert (share["right"], share["n"]) == (54, 60)
        assert (share["low"], share["high"]) == pytest.approx((0.799, 0.953), abs=1e-3)
        assert data["frechet"] == report.frechet and data["psnr"] == report.psnr
        assert data["neighbours"]["copies"] is False and data["settings"]["prompts"] == QUICK.prompts
        assert set(data["psnr"]) == {*ATTRIBUTES["style"], "mean"}

    def test_json_is_read_again_as_the_report_that_it_was(self, prompts):
        report = examined(faithful(prompts))
        again = Report.from_json(report.to_json())
        assert again == report and again.table() == report.table()

    def test_the_shipped_reports_are_read_and_their_model_card_has_their_tables(self):
        card = (find_weights("picturebook") / "README.md").read_text()
        for name in ("evaluation.json", "tokens_evaluation.json"):
            assert Report.from_json((find_weights("picturebook") / name).read_text()).table() in card

    def test_nothing_counted_is_not_a_share(self):
        assert str(Share(0, 0)) == "none"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"prompts": 1}, "^prompts must be at least 2, got 1."),
        ({"batch": 0}, "^batch must be at least 1, got 0."),
        ({"seed": -1}, "^seed must be at least 0, got -1."),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        EvaluateConfig(**wrong)


class TestWeights:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch) -> Path:
        r"""An untrained model for pictures of 64 x 64, with its judge, as on disk."""
        monkeypatch.setenv("MINIDIFFUSION_CACHE", str(tmp_path / "cache"))
        model = tiny_model()
        clip = CLIP(CLIPConfig(8, model.tokenizer.vocab_size, 32, 16, 1, 2, 64, 32, 8, 1, 2))
        TextToImage(model.tokenizer, clip, model.unet, model.vae, T=50).save(tmp_path / "weights")
        self.save_judge(tmp_path / "weights", CLASSES)
        return tmp_path / "weights"

    @staticmethod
    def save_judge(folder: Path, attributes: dict[str, int]) -> None:
        config = JudgeConfig(attributes, channels=(8, 8, 8, 8), features=16)
        save_model(folder, "judge", Judge(config), config)

    def test_are_evaluated_from_end_to_end(self, folder, tmp_path):
        out, sheet = tmp_path / "report.json", tmp_path / "sheet.png"
        counts = {"prompts": 4, "held_out_prompts": 3, "diverse_prompts": 2, "real": 60, "training": 5}
        config = EvaluateConfig(**counts, steps=2, guidance=3.0, weights=str(folder), out=out, sheet=sheet)
        report = evaluate(config)
        assert report.accuracy["seen"]["all at once"].n == 4 and report.accuracy["held out"]["all at once"].n == 3
        assert json.loads(out.read_text()) == json.loads(report.to_json())

        prompt = draw_prompts(1, exam_rng(0), language="en")[0].text
        expected = to_pixels(TextToImage.load(folder).generate([prompt], [0], steps=2, guidance=3.0))[0]
        shown = np.asarray(PIL.Image.open(sheet))[GAP : GAP + SIDE : 3, GAP : GAP + SIDE : 3]
        assert abs(shown.astype(int) - expected).max() <= 1

    def test_reconstruction_is_decode_after_encode(self, folder):
        x = renders([random_scene(np.random.default_rng(0))])
        vae = TextToImage.load(folder).vae
        reconstruct = Examinee.load(EvaluateConfig(weights=str(folder))).reconstruct
        torch.testing.assert_close(reconstruct(x), vae.decode(vae.encode(x).mode()).clamp(-1, 1), rtol=1e-4, atol=1e-5)

    def test_of_the_token_pipeline_are_evaluated_by_the_same_judge(self, tmp_path, folder):
        pipeline = tiny_token_pipeline(size=64)
        weights = save_token_pipeline(tmp_path / "tokens", pipeline)
        self.save_judge(weights, CLASSES)
        counts = {"prompts": 3, "held_out_prompts": 2, "diverse_prompts": 2, "real": 60, "training": 5}
        config = EvaluateConfig(**counts, model="tokens", drafts=2, guidance=4.0, weights=str(weights))
        report = evaluate(config)
        assert report.accuracy["seen"]["all at once"].n == 3
        assert report.settings["how"] == "tokens, the best of 2 drafts, guidance 4.0"
        assert "tokens, the best of 2 drafts" in report.table()

        examinee, x = Examinee.load(config), renders([random_scene(np.random.default_rng(0))])
        prompts = ["a red house", "一只猫"]
        expected = pipeline.generate(prompts, [5, 6], TokenSamplingSettings(4.0, drafts=2))
        torch.testing.assert_close(examinee.generate(prompts, [5, 6]), expected)
        torch.testing.assert_close(examinee.reconstruct(x), pipeline.decode(pipeline.codebook.encode(x).flatten(1)))
        assert Examinee.load(EvaluateConfig(weights=str(folder))).how == "25 steps of dpm++, guidance 2.5"
        assert Examinee.load(replace(config, drafts=1, guidance=None)).how == "tokens, guidance 1.5"

    def test_without_a_judge_or_with_a_judge_of_something_else_are_refused(self, folder):
        self.save_judge(folder, {"subject": 12, "colour": 8})
        with pytest.raises(CheckpointError, match="trained for other attributes"):
            evaluate(EvaluateConfig(weights=str(folder)))
        (folder / "judge.json").unlink()
        with pytest.raises(CheckpointError, match=r"judge\.json"):
            evaluate(EvaluateConfig(weights=str(folder)))

    @pytest.mark.parametrize("path", ["nowhere/report.json", "."])
    def test_a_report_that_cannot_be_written_is_refused_before_any_work(self, tmp_path, path):
        with pytest.raises(CheckpointError, match="Cannot write"):
            evaluate(EvaluateConfig(weights="there are none", out=tmp_path / path))
