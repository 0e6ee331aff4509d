r"""The four tasks, each with a network that learns in seconds: does the loss fall, can the result be loaded?"""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from minidiffusion.checkpoint import CheckpointError, file_hash, load_model
from minidiffusion.clip.encoder import CLIPConfig
from minidiffusion.imagine.pipeline import TextToImage
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.judge import IGNORED, JudgeConfig, judge_loss
from minidiffusion.networks.unet import UNetConfig
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES
from minidiffusion.training.card import card
from minidiffusion.training.clip import CLIPTask, CLIPTraining, look_alikes
from minidiffusion.training.judge import JudgeTask, JudgeTraining, shuffle_channels
from minidiffusion.training.loop import Recipe, train
from minidiffusion.training.unet import UNetTask, UNetTraining, encode_all
from minidiffusion.training.vae import VAETask, VAETraining

RECIPE = Recipe(steps=30, batch=8, lr=3e-3, warmup=2, ema=0.9, log_every=1, sheet_every=30)
VAE = VAETraining(RECIPE, VAEConfig(latent_channels=4, channels=(16, 16)))
CLIP = CLIPTraining(
    replace(RECIPE, steps=300),  # look-alikes are hard to tell apart
    CLIPConfig(
        16,
        vocab_size=600,
        text_width=16,
        text_layers=1,
        text_heads=2,
        patch_size=16,
        vision_width=16,
        vision_layers=1,
        vision_heads=2,
    ),
    captions_for_tokenizer=50,
)
UNET = UNetTraining(
    replace(RECIPE, steps=60),
    UNetConfig(4, channels=(16,), attention=(True,), heads=2, context_dim=16, ff_mult=1, groups=8),
)
JUDGE = JudgeTraining(RECIPE, JudgeConfig({name: len(values) for name, values in ATTRIBUTES.items()}, (8, 8, 8), 32))


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFFUSION_CACHE", str(tmp_path_factory.mktemp("cache")))
        return PictureBook(32, workers=1)


@pytest.fixture(scope="module")
def weights(book, tmp_path_factory):
    r"""A folder with everything that `make weights` makes, in miniature, and the losses on the way."""
    folder = tmp_path_factory.mktemp("weights")
    losses = {}
    for training, task in ((VAE, VAETask), (CLIP, CLIPTask), (JUDGE, JudgeTask), (UNET, UNetTask)):
        made = task(training, book, folder)
        records = [*train(made, training.recipe, folder / "training" / made.settings["task"])]
        losses[task] = torch.tensor([record.loss for record in records])
    return folder, losses


@pytest.mark.slow
@pytest.mark.parametrize("task", [VAETask, CLIPTask, JudgeTask, UNetTask])
def test_it_learns(weights, task):
    losses = weights[1][task]
    assert losses[-10:].mean() < 0.9 * losses[:5].mean()


@pytest.mark.slow
def test_what_it_leaves_makes_pictures_and_sheets(weights):
    folder, _ = weights
    pictures = TextToImage.load(folder).imagine("a red house", seeds=[0], steps=2)
    assert pictures[0].image.size == (64, 64)
    for task in ("vae", "unet"):
        assert [*(folder / "training" / task).glob("sheet_*.png")]


@pytest.mark.slow
def test_the_card_says_how_each_was_made(weights):
    folder, _ = weights
    with pytest.raises(CheckpointError, match="evaluation"):
        card(folder)
    (folder / "evaluation.md").write_text("the examination")
    text = card(folder)
    for name, steps in {"judge": 30, "vae": 30, "clip": 300, "unet": 60}.items():
        parameters = sum(tensor.numel() for tensor in load_file(folder / f"{name}.safetensors").values())
        assert f"| {name} | {parameters / 1e6:.2f} million | {steps} | 8 | 1 | 32 |" in text
        assert file_hash(folder / f"{name}.safetensors") in text
    assert "the examination" in text and "## Choices" not in text
    (folder / "choices.md").write_text("what was measured before")
    assert "## Choices\n\nwhat was measured before\n" in card(folder)


@pytest.mark.slow
def test_the_scaling_factor_makes_latents_of_unit_variance(weights, book):
    vae = load_model(weights[0], "vae", VAEConfig, AutoencoderKL)
    latents = encode_all(vae, book, torch.device("cpu"))
    assert latents.std().item() == pytest.approx(1, abs=1e-3)  # float16 on disk
    vae.config = replace(vae.config, scaling_factor=2 * vae.config.scaling_factor)
    with pytest.raises(ValueError, match=r"standard deviation is 2\.0"):
        encode_all(vae, book, torch.device("cpu"))


@pytest.mark.slow
def test_some_captions_are_dropped_and_the_network_sees_what_the_objective_says(weights, book):
    task = UNetTask(replace(UNET, caption_dropout=0.5, times="uniform"), book, weights[0])
    nothing, seen = task.context([""])[0], []

    class Witness(torch.nn.Module):
        def forward(self, x_t, t, context):
            seen.append((t, context))
            return torch.zeros_like(x_t)

    for k in range(20):
        task.loss(Witness(), torch.arange(32), torch.Generator().manual_seed(k))
    t, context = (torch.cat(parts) for parts in zip(*seen, strict=True))
    dropped = (context == nothing).all(dim=2).all(dim=1).float().mean()
    assert dropped == pytest.approx(0.5, abs=4 * 0.5 / 640**0.5)
    assert t.min() >= 0 and t.max() <= 999 and abs(t.float().mean() - 499.5) < 4 * 289 / 640**0.5


def test_clip_clamps_its_temperature_after_a_step(book, tmp_path):
    task = CLIPTask(CLIP, book, tmp_path)
    with torch.no_grad():
        task.model.logit_scale.fill_(9.0)
    task.after_step()
    assert task.model.logit_scale.exp().item() == pytest.approx(100)


def test_shuffled_pictures_keep_their_shapes_and_are_not_asked_for_colours(book):
    x, labels = book.pictures(torch.arange(32)), book.labels
    shuffled, asked = shuffle_channels(x, labels, torch.Generator().manual_seed(0))
    kept = (shuffled == x).flatten(1).all(dim=1)
    assert 8 < kept.sum() < 28  # half, and one in six of the other half by chance
    torch.testing.assert_close(shuffled.sum(dim=1), x.sum(dim=1))  # the same three channels, in another order
    names = [*ATTRIBUTES]
    for i, name in enumerate(names):
        if name in ("colour", "place", "sky"):
            assert ((asked[:, i] == IGNORED) | (asked[:, i] == labels[:, i])).all()
            assert (asked[~kept, i] == IGNORED).all()
        else:
            assert torch.equal(asked[:, i], labels[:, i])


def test_a_question_that_is_not_asked_costs_nothing():
    logits = {"a": torch.tensor([[5.0, 0.0], [0.0, 9.0]]), "b": torch.tensor([[0.0, 0.0], [0.0, 0.0]])}
    loss, accuracies = judge_loss(logits, torch.tensor([[0, 1], [IGNORED, 0]]))
    expected = torch.tensor(5.0).neg().exp().log1p() + torch.tensor(2.0).log()  # one picture for a, two for b
    torch.testing.assert_close(loss, expected)
    assert accuracies["a"] == 1 and accuracies["b"] == 0.5 and accuracies["all"] == 0.5


def test_look_alikes_share_most_attributes_and_differ_in_each_now_and_then():
    labels = torch.cartesian_prod(*(torch.arange(n) for n in (4, 3, 3, 2))).repeat(2, 1)  # every picture twice
    generator = torch.Generator().manual_seed(0)
    draws = [look_alikes(labels, 6, generator, run=3) for _ in range(200)]
    runs = labels[torch.cat(draws)].view(400, 3, 4)
    differ = (runs[:, 1:] != runs[:, :-1]).float()  # `run neighbour attribute`
    assert (differ.sum(dim=2) >= 1).all()  # never the same picture, nor its double
    assert differ.sum(dim=2).mean() < 2  # of random pictures, 2.6 attributes differ
    assert (differ.mean(dim=(0, 1)) > 0.2).all()  # each of the four is taught


def test_half_of_a_clip_batch_is_random_and_the_other_half_alike(book, tmp_path):
    task, seen = CLIPTask(CLIP, book, tmp_path), []
    task.data = Spy(book, seen)
    task.loss(task.model, torch.arange(16), torch.Generator().manual_seed(0))
    assert seen[0][:8].tolist() == [*range(8, 16)] and len(seen[0]) == 16
    task.loss(task.model, torch.arange(1), torch.Generator().manual_seed(0))
    assert seen[1].tolist() == [0]  # half of one, and none is lost
    task.labels = None  # pictures of which nothing is known
    task.loss(task.model, torch.arange(16), torch.Generator().manual_seed(0))
    assert seen[2].tolist() == [*range(16)]


class Spy:
    r"""A picture book that remembers which pictures were asked for."""

    def __init__(self, book: PictureBook, seen: list):
        self.book, self.seen = book, seen

    def __len__(self) -> int:
        return len(self.book)

    def pictures(self, indices):
        self.seen.append(indices)
        return self.book.pictures(indices)

    def captions(self, indices, generator):
        return self.book.captions(indices, generator)
