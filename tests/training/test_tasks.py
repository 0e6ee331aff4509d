r"""The tasks, each with a network that learns in seconds: does the loss fall, can the result be loaded?"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from minidiffusion.checkpoint import CheckpointError, file_hash, load_model, save_model
from minidiffusion.clip.augment import crop
from minidiffusion.clip.encoder import CLIP as ContrastivePair
from minidiffusion.clip.encoder import CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.data.emoji import emoji
from minidiffusion.errors import UserError
from minidiffusion.evaluation.judge import IGNORED, JudgeConfig, judge_loss
from minidiffusion.evaluation.model_card import card
from minidiffusion.images.pixels import to_pixels
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.unet import UNetConfig
from minidiffusion.networks.upscaler import UpscalerConfig
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import ATTRIBUTES
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained.weights import find_weights
from minidiffusion.prompt.parser import plain
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig
from minidiffusion.tokens.sampling import sample_tokens
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig
from minidiffusion.training.clip import CLIPTask, CLIPTraining, hard_negatives
from minidiffusion.training.codebook import CodebookTask, CodebookTraining
from minidiffusion.training.judge import JudgeTask, JudgeTraining, shuffle_channels
from minidiffusion.training.loop import train
from minidiffusion.training.task import Recipe
from minidiffusion.training.tokens import TokensTask, TokensTraining
from minidiffusion.training.unet import UNetTask, UNetTraining, encode_all
from minidiffusion.training.upscaler import UpscalerTask, UpscalerTraining
from minidiffusion.training.vae import VAETask, VAETraining
from tests.shake import shake

SHIPPED = find_weights("picturebook")
RECIPE = Recipe(steps=30, batch=8, lr=3e-3, warmup=2, ema=0.9, log_every=1, sheet_every=30)
VAE = VAETraining(RECIPE, VAEConfig(latent_channels=4, channels=(16, 16)))
CLIP = CLIPTraining(
    replace(RECIPE, steps=300),  # hard negatives are
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
    shapes=((96, 64), (64, 128)),
    pages=8,
)
UPSCALER = UpscalerTraining(RECIPE, UpscalerConfig(8, 1), pages=32)
JUDGE = JudgeTraining(RECIPE, JudgeConfig(channels=(8, 8, 8), features=32))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    r"""The pages that a task draws do not belong into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDIFFUSION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def book(cache):
    return PictureBook(32, workers=1)


@pytest.fixture(scope="module")
def weights(book, tmp_path_factory):
    r"""A folder with everything that `make weights` makes, in miniature, and the losses on the way."""
    folder = tmp_path_factory.mktemp("weights")
    losses = {}
    tasks = ((VAE, VAETask), (UPSCALER, UpscalerTask), (CLIP, CLIPTask), (JUDGE, JudgeTask), (UNET, UNetTask))
    for training, task in tasks:
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
    model = TextToImage.load(folder)
    pictures = model.imagine("a red house", seeds=[0], steps=2)
    assert pictures[0].image.size == (64, 64) and model.upscaler.config == UPSCALER.model
    for task in ("vae", "unet", "upscaler"):
        assert [*(folder / "training" / task).glob("sheet_*.png")]


@pytest.mark.slow
def test_the_card_says_how_each_was_made(weights):
    folder, _ = weights
    with pytest.raises(CheckpointError, match="evaluation"):
        card(folder)
    (folder / "evaluation.json").write_bytes((SHIPPED / "evaluation.json").read_bytes())
    text = card(folder)
    for name, steps in {"judge": 30, "vae": 30, "upscaler": 30, "clip": 300, "unet": 60}.items():
        parameters = sum(tensor.numel() for tensor in load_file(folder / f"{name}.safetensors").values())
        assert f"| {name} | {parameters / 1e6:.2f} million | {steps} | 8 | 1 | 32 |" in text
        assert file_hash(folder / f"{name}.safetensors") in text
    assert "all at once  | 97.9 (96.2 to 98.8)" in text and "## Choices" not in text
    (folder / "choices.md").write_text("what was measured before")
    assert "## Choices\n\nwhat was measured before\n" in card(folder)


@pytest.mark.slow
def test_the_scaling_factor_makes_latents_of_unit_variance(weights, book):
    vae = load_model(weights[0], "vae", VAEConfig, AutoencoderKL)
    latents = encode_all(vae, book, torch.device("cpu"))
    assert latents.std().item() == pytest.approx(1, abs=1e-3)  # float16 on disk
    vae.config = replace(vae.config, scaling_factor=2 * vae.config.scaling_factor)
    with pytest.raises(UserError, match=r"standard deviation .* must be near 1, got 2\.0"):
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


@pytest.mark.slow
def test_the_upscaler_sees_crops_of_the_same_place_half_of_them_through_the_vae(weights, book):
    task = UpscalerTask(UPSCALER, book, weights[0])
    seen = []

    class Witness(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return F.interpolate(x, scale_factor=2, mode="nearest")

    indices = torch.arange(8)
    loss, numbers = task.loss(Witness(), indices, torch.Generator().manual_seed(1))
    small, large = book.pictures(indices), PictureBook(32, scale=2).pictures(indices)
    whole = torch.cat([task.reconstructed(small[:4]), small[4:]])
    places = [(y, x) for y in range(33) for x in range(33) if torch.equal(whole[..., y : y + 32, x : x + 32], seen[0])]
    ((y, x),) = places
    crop = large[..., 2 * y : 2 * y + 64, 2 * x : 2 * x + 64]
    torch.testing.assert_close(loss, (F.interpolate(seen[0], scale_factor=2, mode="nearest") - crop).abs().mean())
    assert numbers["psnr"] > numbers["psnr_rebuilt"]  # a VAE that has hardly learnt


@pytest.mark.slow
def test_some_steps_show_other_shapes_of_the_same_scenes(weights, book):
    task = UNetTask(UNET, book, weights[0])
    assert [tuple(latents.shape) for latents in task.latents] == [(32, 4, 8, 8), (8, 4, 8, 12), (8, 4, 16, 8)]
    wide = PictureBook(8, width=96).pictures(torch.arange(8))
    expected = task.vae.encode(wide).mode() * task.vae.config.scaling_factor
    torch.testing.assert_close(task.latents[1], expected.detach())
    chosen = torch.tensor([task.shape_of_step(torch.Generator().manual_seed(k)) for k in range(2000)])
    shares = chosen.bincount(minlength=3) / 2000
    for share, p in zip(shares.tolist(), (0.8, 0.1, 0.1), strict=True):
        assert abs(share - p) < 4 * (p * (1 - p) / 2000) ** 0.5
    shapes = set()

    class Witness(torch.nn.Module):
        def forward(self, x_t, t, context):
            shapes.add(tuple(x_t.shape))
            return torch.zeros_like(x_t)

    for k in range(40):
        task.loss(Witness(), torch.arange(24, 32), torch.Generator().manual_seed(k))  # pages that only squares have
    assert shapes == {(8, 4, 8, 8), (5, 4, 8, 12), (4, 4, 16, 8)}  # fewer, the larger they are
    squares = UNetTask(replace(UNET, other_shapes=0.0), book, weights[0])
    assert len(squares.latents) == 1 and not any(squares.shape_of_step(torch.Generator()) for _ in range(20))


@pytest.mark.slow
def test_a_sheet_takes_captions_literally_and_is_what_the_pipeline_draws(weights, book, monkeypatch):
    task = UNetTask(replace(UNET, other_shapes=0.0), book, weights[0])
    said = "a cat --ar 3:2, {red, blue} :: cat.png"
    monkeypatch.setattr(book, "captions", lambda indices, generator: [said] * len(indices))
    sheet = np.asarray(task.sheet(task.model))
    assert sheet.shape == (4 * 64, 8 * 64, 3)
    expected = task.pipeline(task.model).generate(plain(said), [31], steps=20, guidance=3.0)
    assert abs(sheet[-64:, -64:].astype(int) - to_pixels(expected)[0]).max() <= 1


@pytest.mark.slow
def test_networks_that_do_not_fit_are_refused_before_pictures_are_encoded(weights, book, monkeypatch):
    monkeypatch.setattr("minidiffusion.training.unet.encode_all", None)
    with pytest.raises(UserError, match="'eps'"):
        UNetTask(replace(UNET, prediction="eps"), book, weights[0])
    with pytest.raises(UserError, match="do not fit"):
        UNetTask(replace(UNET, model=replace(UNET.model, context_dim=24)), book, weights[0])


def test_clip_clamps_its_temperature_after_a_step(book, tmp_path):
    task = CLIPTask(CLIP, book, tmp_path)
    with torch.no_grad():
        task.model.logit_scale.fill_(9.0)
    task.after_step()
    assert task.model.logit_scale.exp().item() == pytest.approx(100)


def test_shuffled_pictures_keep_their_shapes(book):
    x = book.pictures(torch.arange(32))
    seen, shuffled = shuffle_channels(x, torch.Generator().manual_seed(0))
    kept = (seen == x).flatten(1).all(dim=1)
    assert 8 < shuffled.sum() < 24 and kept[~shuffled].all()
    assert kept[shuffled].sum() < 8  # one in six, by chance
    torch.testing.assert_close(seen.sum(dim=1), x.sum(dim=1))  # the same three channels, in another order
    assert torch.equal(shuffle_channels(x, torch.Generator(), share=0.0)[0], x)


def test_the_judge_does_not_learn_colours_from_permuted_channels(book, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "minidiffusion.training.judge.judge_loss",
        lambda logits, labels: asked.append(labels) or judge_loss(logits, labels),
    )
    task = JudgeTask(JUDGE, book, tmp_path)
    task.loss(task.model, torch.arange(32), torch.Generator().manual_seed(0))
    _, shuffled = shuffle_channels(book.pictures(torch.arange(32)), torch.Generator().manual_seed(0))
    for i, name in enumerate(ATTRIBUTES):
        expected = book.labels[:, i].clone()
        if name in ("colour", "place", "sky"):
            expected[shuffled] = IGNORED
        assert torch.equal(asked[0][:, i], expected)


def test_an_ignored_label_does_not_change_the_loss():
    logits = {"a": torch.tensor([[5.0, 0.0], [0.0, 9.0]]), "b": torch.tensor([[0.0, 0.0], [0.0, 0.0]])}
    loss, accuracies = judge_loss(logits, torch.tensor([[0, 1], [IGNORED, 0]]))
    expected = torch.tensor(5.0).neg().exp().log1p() + torch.tensor(2.0).log()  # one picture for a, two for b
    torch.testing.assert_close(loss, expected)
    assert accuracies["a"] == 1 and accuracies["b"] == 0.5 and accuracies["all"] == 0.5


def test_hard_negatives_share_most_attributes_and_differ_in_each_now_and_then():
    labels = torch.cartesian_prod(*(torch.arange(n) for n in (4, 3, 3, 2))).repeat(2, 1)  # every picture twice
    generator = torch.Generator().manual_seed(0)
    draws = [hard_negatives(labels, 6, generator, run=3) for _ in range(200)]
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


def test_clip_takes_the_size_of_the_pictures_and_crops_them_where_it_is_asked_to(tmp_path):
    data, indices = emoji(skin_tones=False), torch.arange(8)
    seen = {}
    for augment in (False, True):
        task = CLIPTask(replace(CLIP, augment=augment), data, tmp_path)
        assert task.config.picture_size == 32
        task.labels = None  # no hard negatives: the pictures that were asked for
        seen[augment] = pictures = []
        task.model.vision_model.register_forward_pre_hook(lambda _, inputs, pictures=pictures: pictures.append(*inputs))
        task.loss(task.model, indices, torch.Generator().manual_seed(0))
    x, (cropped,) = data.pictures(indices), seen[True]
    assert torch.equal(*seen[False], x)
    torch.testing.assert_close(cropped, crop(x, torch.Generator().manual_seed(0)))
    assert ((cropped - x).abs().amax(dim=(1, 2, 3)) > 0.1).all()


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


# ---------------------------------------------------------------------------------------------- pictures as tokens


CODEBOOK = CodebookTraining(RECIPE, PictureTokenizerConfig(codes=32, dim=4, channels=(16, 16)), perception=0.0)
TOKENS = TokensTraining(
    replace(RECIPE, steps=40), Seq2SeqConfig(width=16, heads=2, ff_width=24, text_layers=1, picture_layers=1)
)


@pytest.fixture(scope="module")
def tokens_weights(book, tmp_path_factory):
    r"""A folder with a text tokenizer, a picture tokenizer and a transformer, and what the logs say."""
    folder = tmp_path_factory.mktemp("tokens")
    Tokenizer.train(book.captions(torch.arange(32), torch.Generator()), 600).save(folder / "tokenizer.json")
    numbers = {}
    for training, task in ((CODEBOOK, CodebookTask), (TOKENS, TokensTask)):
        made = task(training, book, folder)
        records = [*train(made, training.recipe, folder / "training" / made.settings["task"])]
        numbers[task] = [record.numbers for record in records]
    return folder, numbers


@pytest.mark.slow
def test_the_token_pipeline_learns(tokens_weights):
    _, numbers = tokens_weights
    psnr = torch.tensor([step["psnr"] for step in numbers[CodebookTask]])
    assert psnr[-10:].mean() > psnr[:5].mean() + 0.5
    bits = torch.tensor([step["bits"] for step in numbers[TokensTask]])
    assert bits[-10:].mean() < 0.9 * bits[:5].mean()


def test_the_codebook_pays_for_what_clip_sees_and_clip_stays_as_it_is(book, tmp_path):
    with pytest.raises(CheckpointError, match=r"clip\.json"):
        CodebookTask(replace(CODEBOOK, perception=0.5), book, tmp_path)
    config = replace(CLIP.model, vocab_size=600)
    clip = shake(ContrastivePair(config))
    save_model(tmp_path, "clip", clip, config)
    blind, seeing = (CodebookTask(replace(CODEBOOK, perception=p), book, tmp_path) for p in (0.0, 0.5))
    x, generator = book.pictures(torch.arange(8)), torch.Generator()
    losses = [task.loss(seeing.model.eval(), torch.arange(8), generator)[0] for task in (blind, seeing)]
    with torch.no_grad():
        rebuilt = seeing.model.decode(seeing.model.encode(x))
        cosines = F.cosine_similarity(clip.eval().encode_image(x), clip.encode_image(rebuilt))
    assert cosines.mean() < 1 - 1e-4
    torch.testing.assert_close(losses[1] - losses[0], 0.5 * (1 - cosines.mean()), rtol=1e-4, atol=1e-6)
    losses[1].backward()
    assert seeing.clip is not None and all(p.grad is None for p in seeing.clip.parameters())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_codebook_sees_as_many_pictures_shuffled_as_it_should(book, tmp_path, share):
    task, seen = CodebookTask(replace(CODEBOOK, shuffled=share), book, tmp_path), []
    task.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0]))
    task.loss(task.model, torch.arange(32), torch.Generator().manual_seed(0))
    expected, _ = shuffle_channels(book.pictures(torch.arange(32)), torch.Generator().manual_seed(0), share)
    assert torch.equal(seen[0], expected)


@pytest.mark.slow
def test_the_trained_token_pipeline_writes_pictures(tokens_weights):
    folder, _ = tokens_weights
    codebook = load_model(folder, "codebook", PictureTokenizerConfig, PictureTokenizer)
    model = load_model(folder, "tokens", Seq2SeqConfig, Seq2Seq)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    words = tokenizer(["a red house", ""], model.config.text_length)
    *_, last = sample_tokens(model, words[:1], words[1:], [torch.Generator()], scale=2.0)
    assert codebook.decode(last.ids.view(1, 8, 8)).shape == (1, 3, 64, 64)
    for task in ("codebook", "tokens"):
        assert [*(folder / "training" / task).glob("sheet_*.png")]


@pytest.mark.slow
def test_the_card_describes_the_token_pipeline_if_there_is_one(weights, tokens_weights, tmp_path):
    for folder in (weights[0], tokens_weights[0]):
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "evaluation.json").write_bytes((SHIPPED / "evaluation.json").read_bytes())
    with pytest.raises(CheckpointError, match="tokens_evaluation"):
        card(tmp_path)
    (tmp_path / "tokens_evaluation.json").write_bytes((SHIPPED / "tokens_evaluation.json").read_bytes())
    text = card(tmp_path)
    assert "| codebook | " in text and "| tokens | " in text
    assert text.index("| 97.9 (96.2 to 98.8)") < text.index("| 88.1 (85.0 to 90.6)") < text.index("## Limits")


@pytest.mark.slow
def test_the_transformer_is_asked_for_the_codebooks_ids_and_a_share_of_the_captions_is_dropped(tokens_weights, book):
    folder, _ = tokens_weights
    task = TokensTask(replace(TOKENS, caption_dropout=0.5), book, folder)
    codebook = load_model(folder, "codebook", PictureTokenizerConfig, PictureTokenizer)
    ids, seen = codebook.encode(book.pictures(torch.arange(32))).flatten(1), []

    class Witness(torch.nn.Module):
        def forward(self, words, picture_ids):
            seen.append(words)
            return 20 * torch.nn.functional.one_hot(ids, 32).float()  # nats for the right token; for the 31 others 0

    losses = [task.loss(Witness(), torch.arange(32), torch.Generator().manual_seed(k))[0] for k in range(20)]
    torch.testing.assert_close(losses[0], (31 * torch.tensor(-20.0).exp()).log1p())
    nothing = task.tokenizer([""], task.config.text_length)
    dropped = (torch.cat(seen) == nothing).all(dim=1).float().mean()
    assert dropped == pytest.approx(0.5, abs=4 * 0.5 / 640**0.5)
    assert task.model.config.text_end == nothing.max() and task.model.config.codes == 32
