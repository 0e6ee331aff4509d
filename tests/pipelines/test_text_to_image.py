r"""The pipeline, with a tiny random model: seeds, guidance, negative prompts, records, and weights on disk."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from minidiffusion.checkpoint import CheckpointError, file_hash
from minidiffusion.clip.encoder import CLIP
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.sampler import SAMPLERS
from minidiffusion.errors import UserError
from minidiffusion.images.pixels import to_pixels
from minidiffusion.latent.vae import AutoencoderKL
from minidiffusion.networks.unet import UNet
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained.weights import FILES, INDEX, find_weights, write_index
from minidiffusion.version import __version__
from tests.tiny import tiny_model, tiny_weights
from tests.unchecked import unchecked

PROMPT = "a red house by the sea"


@pytest.fixture(scope="module")
def model() -> TextToImage:
    return tiny_model()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


def difference(a, b) -> float:
    return (a - b).abs().max().item()


# ---------------------------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_makes_the_same_picture_alone_and_at_any_place_in_a_batch(model, sampler):
    seeds = [7, *range(100, 115)]
    batch = model.generate(PROMPT, seeds, steps=8, sampler=sampler)
    turned = model.generate(PROMPT, seeds[::-1], steps=8, sampler=sampler)
    for i in (0, 15):
        alone = model.generate(PROMPT, [seeds[i]], steps=8, sampler=sampler)
        assert difference(alone[0], batch[i]) < 1e-5
        assert difference(batch[i], turned[15 - i]) < 1e-5
    assert difference(batch[0], batch[1]) > 0.1  # and different seeds do make different pictures


def test_the_same_call_gives_the_same_picture_to_the_bit(model):
    torch.manual_seed(1)  # the global generator has no say
    first = model.generate(PROMPT, [3], steps=5, sampler="ddpm")
    torch.manual_seed(2)
    assert torch.equal(first, model.generate(PROMPT, [3], steps=5, sampler="ddpm"))


def test_everything_that_is_recorded_matters(model):
    first = model.generate(PROMPT, [0], steps=10)
    for change in (
        {"prompts": "a small blue cat"},
        {"seeds": [1]},
        {"steps": 11},
        {"guidance": 5.0},
        {"prompts": f"{PROMPT} --no snow"},
        {"sampler": "ddim"},
    ):
        other = model.generate(**({"prompts": PROMPT, "seeds": [0], "steps": 10} | change))
        assert difference(first, other) > 1e-3, change


def test_each_picture_can_have_a_prompt_of_its_own(model):
    prompts = [PROMPT, "夜晚海边的小房子", ""]
    batch = model.generate(prompts, [4, 5, 6], steps=6)
    for i, prompt in enumerate(prompts):
        assert difference(model.generate(prompt, [4 + i], steps=6)[0], batch[i]) < 1e-5


def test_of_a_prompt_that_is_too_long_the_beginning_is_read(model):
    n = model.clip.config.context_length - 2
    long = ["red"] * n + ["blue"] * 3
    assert torch.equal(model.context([" ".join(long)]), model.context([" ".join(long[:n])]))
    assert not torch.equal(model.context([" ".join(long[:n])]), model.context([" ".join(long[: n - 1])]))


# ------------------------------------------------------------------------------------------------------------- guidance


def test_guidance_0_is_the_negative_prompt_and_guidance_1_the_prompt(model):
    unguided = model.generate("the snow", [0, 1], steps=6, guidance=1.0)
    assert difference(model.generate(f"{PROMPT} --no the snow", [0, 1], steps=6, guidance=0.0), unguided) < 1e-5
    nothing = model.generate("", [0, 1], steps=6, guidance=1.0)
    assert difference(model.generate(PROMPT, [0, 1], steps=6, guidance=0.0), nothing) < 1e-5


def test_guidance_goes_on_along_the_line_from_the_negative_prompt_to_the_prompt(model):
    prompt = f"{PROMPT} --no snow"
    u, c, guided = (next(model.sample(prompt, [0], steps=5, guidance=scale)).x0_hat for scale in (0.0, 1.0, 3.5))
    assert difference(u, c) > 1e-3  # a hundred times the tolerance: what guidance multiplies is really there
    torch.testing.assert_close(guided, u + 3.5 * (c - u), rtol=0, atol=1e-5)


def test_guidance_1_spares_half_of_the_work(model):
    sizes = []
    hook = model.unet.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    try:
        model.generate(PROMPT, [0, 1, 2], steps=2, guidance=1.0)
        model.generate(PROMPT, [0, 1, 2], steps=2, guidance=2.0)
    finally:
        hook.remove()
    assert sizes == [3, 3, 6, 6]


# ----------------------------------------------------------------------------------------------------------- sample


def test_the_samples_lead_from_noise_to_the_picture(model):
    way = list(model.sample(PROMPT, [0, 1], steps=8))
    assert [step.i for step in way] == list(range(8)) and way[-1].t == 0
    assert torch.equal(model.decode(way[-1].x), model.generate(PROMPT, [0, 1], steps=8))
    assert model.decode(way[0].x0_hat).shape == (2, 3, 16, 16)
    assert not way[0].x.requires_grad  # no graph of all the steps is kept in memory

    seen = []
    model.imagine(PROMPT, [0, 1], steps=8, on_step=seen.append)
    assert all(torch.equal(a.x, b.x) for a, b in zip(seen, way, strict=True))


def test_latents_are_scaled_back_before_they_are_decoded(model):
    z = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.decode(z), model.vae.decode(z / 0.5).detach().clamp(-1, 1))


# ---------------------------------------------------------------------------------------------------------------- sizes


def test_a_picture_can_have_another_size(model):
    assert model.size == 16 and model.size_step == 16  # latents of 4 x 4 pixels each, which two levels halve once
    assert model.generate(PROMPT, [0], steps=2, size=48).shape == (1, 3, 48, 48)
    assert torch.equal(model.generate(PROMPT, [0], steps=2, size=16), model.generate(PROMPT, [0], steps=2))
    (picture,) = model.imagine(PROMPT, [0], steps=2, size=32)
    assert picture.image.size == (32, 32) and (picture.record.width, picture.record.height) == (32, 32)
    (again,) = model.imagine(PROMPT, [0], steps=2, size=(picture.record.width, picture.record.height))
    assert again.image.tobytes() == picture.image.tobytes()
    (wide,) = model.imagine(PROMPT, [0], steps=2, size=(48, 32))
    assert wide.image.size == (48, 32) and (wide.record.width, wide.record.height) == (48, 32)


def test_a_picture_becomes_a_latent_that_decodes_to_it(model):
    z = torch.randn(2, 4, 4, 8, generator=torch.Generator().manual_seed(0))
    x = model.vae.decode(z / 0.5).detach()
    torch.testing.assert_close(model.encode(x), 0.5 * model.vae.encode(x).mode())


@pytest.mark.parametrize(
    ("size", "nearest"),
    [(0, "16."), (-1, "16."), (1, "16."), (15, "16."), (17, "16 and 32."), (40, "32 and 48."), (2049, "2048.")],
)
def test_a_size_between_the_valid_ones_is_refused_with_the_nearest(model, size, nearest):
    with pytest.raises(ValueError, match=f"multiple of 16 up to 2048, got {size}; the nearest: {nearest}"):
        model.generate(PROMPT, [0], steps=2, size=size)


def test_what_suits_the_weights_is_what_is_used_unless_it_is_said(model):
    parts = (model.tokenizer, model.clip, model.unet, model.vae)
    other = TextToImage(*parts, **model.training_noise, size=32, guidance=4.0)
    expected = model.generate(PROMPT, [0], steps=2, guidance=4.0, size=32)
    assert torch.equal(other.generate(PROMPT, [0], steps=2), expected)
    assert other.imagine(PROMPT, [0], steps=2)[0].record.guidance == 4.0
    assert other.imagine(PROMPT, [0], steps=2, guidance=0.0)[0].record.guidance == 0.0


def test_a_text_encoder_is_enough_if_it_is_said_how_large_a_picture_is(model):
    parts = (model.tokenizer, model.clip.text_model, model.unet, model.vae)
    alone = TextToImage(*parts, **model.training_noise, size=16)
    expected = model.generate(PROMPT, [0], steps=2)
    assert alone.clip is None and torch.equal(alone.generate(PROMPT, [0], steps=2), expected)
    with pytest.raises(ValueError, match="size is missing"):
        TextToImage(*parts, **model.training_noise)


# ------------------------------------------------------------------------------------------------- pictures and records


def test_numbers_become_the_nearest_colours():
    numbers = torch.tensor([-1.0, 1.0, 0.0, -0.999, 0.999, -1.5, 1.5]).expand(1, 3, 1, 7)
    assert to_pixels(numbers)[0, 0, :, 0].tolist() == [0, 255, 128, 0, 255, 0, 255]
    every = torch.arange(256) / 127.5 - 1
    assert to_pixels(every.expand(1, 3, 1, 256))[0, 0, :, 2].tolist() == list(range(256))
    rows = torch.stack([torch.full((2, 4), fill) for fill in (-1.0, 0.2, 1.0)])[None]
    assert to_pixels(rows).shape == (1, 2, 4, 3) and to_pixels(rows)[0, 1, 3].tolist() == [0, 153, 255]


def test_a_picture_can_be_made_again_from_its_record(weights):
    loaded = TextToImage.load(weights)
    prompt = f"{PROMPT} --no snow"
    pictures = loaded.imagine(prompt, seeds=[2**32 - 1, 5], steps=6, guidance=2.0, sampler="ddpm")
    record = asdict(pictures[1].record)
    assert record == {
        "action": "imagine",
        "prompt": prompt,
        "seed": 5,
        "steps": 6,
        "guidance": 2.0,
        "sampler": "ddpm",
        "width": 16,
        "height": 16,
        "weights": file_hash(weights / INDEX),
        "version": __version__,
        "settings": {},
        "sources": (),
    }
    same = {key: record[key] for key in ("prompt", "steps", "guidance", "sampler")}
    plain = loaded.generate(prompt, [2**32 - 1, 5], steps=6, guidance=2.0, sampler="ddpm")
    assert to_pixels(plain)[1].tobytes() == pictures[1].image.tobytes()
    (again,) = loaded.imagine(seeds=[record["seed"]], **same)
    assert again.image.mode == "RGB" and again.image.size == (16, 16)
    assert again.record == pictures[1].record
    assert max(abs(a - b) for a, b in zip(again.image.tobytes(), pictures[1].image.tobytes(), strict=True)) <= 1


# ----------------------------------------------------------------------------------------------------- invalid settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"seeds": []}, "Each picture needs"),
        ({"seeds": [-1]}, "seed must be between 0 and 4294967295, got"),
        ({"seeds": [0, 2**32]}, "seed must be between 0 and 4294967295, got"),
        ({"prompts": ["a", "b"]}, "Each picture needs a prompt and a seed, got 2 prompts and 1 seeds"),
        ({"guidance": float("nan")}, "guidance must be between 0 and 100, got"),
        ({"guidance": float("inf")}, "guidance must be between 0 and 100, got"),
        ({"guidance": -0.5}, "guidance must be between 0 and 100, got"),
        ({"guidance": 100.5}, "guidance must be between 0 and 100, got"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 51}, "steps must be between 1 and 50, got 51"),
    ],
)
def test_settings_outside_their_range_are_refused_with_what_is_valid(model, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        model.generate(**({"prompts": PROMPT, "seeds": [0], "steps": 2} | settings))


def test_an_unknown_sampler_is_refused_with_those_that_there_are():
    settings = object.__new__(SamplingSettings)
    with pytest.raises(UserError, match=r"sampler must be one of ddpm, ddim, euler, heun, plms, dpm.* got 'rk4'"):
        unchecked(SamplingSettings.__init__)(settings, sampler="rk4")


def test_prompts_that_differ_in_more_than_words_are_refused(model):
    for other in ("a cat::2 snow::1", "a cat --stylize 500", "a cat --tile", "a cat --quality 2", "a cat --stop 50"):
        with pytest.raises(UserError, match="must have the same weights, --ar"):
            model.generate([PROMPT, other], [0, 1], steps=2)


def test_a_strength_outside_its_range_is_refused(model):
    z = model.encode(torch.zeros(1, 3, 16, 16))
    for strength in (-0.5, 1.5, float("nan")):
        with pytest.raises(UserError, match="strength must be between 0 and 1, got"):
            model.generate(PROMPT, [0], steps=2, start=z, strength=strength)


def test_the_ends_of_the_ranges_are_valid(model):
    for settings in ({"seeds": [2**32 - 1]}, {"guidance": 0.0}, {"guidance": 100.0}, {"steps": 50}, {"steps": 1}):
        pictures = model.generate(**({"prompts": PROMPT, "seeds": [0], "steps": 2} | settings))
        assert pictures.isfinite().all() and pictures.abs().max() <= 1


def test_parts_that_do_not_fit_are_refused(model):
    clip, unet, vae = model.clip, model.unet, model.vae
    for part, what in (
        ({"tokenizer": Tokenizer([])}, "tokens"),
        ({"clip": CLIP(replace(clip.config, text_width=8))}, "context"),
        ({"unet": UNet(replace(unet.config, in_channels=8))}, "channels"),
        ({"vae": AutoencoderKL(replace(vae.config, latent_channels=2))}, "channels"),
    ):
        parts = {"tokenizer": model.tokenizer, "clip": clip, "unet": unet, "vae": vae} | part
        with pytest.raises(ValueError, match=f"do not fit each other .*{what}"):
            TextToImage(**parts)


def test_predicting_noise_is_refused_where_there_is_nothing_but_noise():
    with pytest.raises(ValueError, match="pure noise"):
        tiny_model(prediction="eps")
    pictures = tiny_model(prediction="eps", schedule="linear").generate(PROMPT, [0], steps=4)
    assert pictures.isfinite().all()


# -------------------------------------------------------------------------------------------------------------- weights


def test_loaded_weights_make_the_pictures_of_the_saved_model(model, weights, tmp_path):
    expected = model.generate(PROMPT, [0], steps=4)
    assert torch.equal(TextToImage.load(weights).generate(PROMPT, [0], steps=4), expected)
    tiny_model(T=30, schedule="linear", prediction="x0").save(tmp_path / "new" / "folder", dtype=torch.float16)
    half = TextToImage.load(str(tmp_path / "new" / "folder"))
    assert half.training_noise == {"schedule": "linear", "T": 30, "prediction": "x0"}
    assert difference(half.unet.conv_in.weight, model.unet.conv_in.weight) < 1e-3
    assert half.unet.conv_in.weight.dtype == torch.float32


def test_the_index_names_every_file_with_its_hash(weights, tmp_path):
    index = json.loads((weights / INDEX).read_text())
    assert index.pop("sha256") == {name: file_hash(weights / name) for name in FILES}
    assert index == {"schedule": "cosine", "T": 50, "prediction": "v", "context_length": 24}

    for name in FILES:
        (tmp_path / name).write_bytes((weights / name).read_bytes())
    others = {f"{name}.{ending}" for name in ("judge", "codebook", "tokens") for ending in ("json", "safetensors")}
    for name in others:
        (tmp_path / name).write_text(name)
    write_index(tmp_path, "cosine", 50, "v")
    listed = json.loads((tmp_path / INDEX).read_text())["sha256"]
    assert set(listed) == {*FILES, *others}
    (tmp_path / "judge.json").write_text("trained anew")  # which is no reason not to draw
    TextToImage.load(tmp_path)


def test_an_incomplete_folder_gets_no_index(weights, tmp_path):
    for name in FILES[:-1]:
        (tmp_path / name).write_bytes((weights / name).read_bytes())
    with pytest.raises(CheckpointError, match=FILES[-1]):
        write_index(tmp_path, "cosine", 50, "v")
    assert not (tmp_path / INDEX).exists()


@pytest.fixture
def copy(weights, tmp_path):
    for path in weights.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refusal(folder) -> str:
    with pytest.raises(CheckpointError) as caught:
        TextToImage.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_not_the_one_in_the_index_is_named(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert name in refusal(copy) and "damaged or newer" in refusal(copy)
    (copy / name).unlink()
    assert name in refusal(copy)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\x80\x04K\x01.", json.dumps({"schedule": "cosine", "T": 50}).encode()],
)
def test_an_index_that_is_none_is_refused(copy, content):
    (copy / INDEX).write_bytes(content)
    assert INDEX in refusal(copy)
    (copy / INDEX).unlink()
    assert INDEX in refusal(copy)


def test_an_index_with_settings_that_do_not_exist_is_refused(copy):
    index = json.loads((copy / INDEX).read_text())
    for change in ({"schedule": "sine"}, {"T": 0}, {"prediction": "w"}, {"prediction": "eps"}, {"sha256": {}}):
        (copy / INDEX).write_text(json.dumps(index | change))
        refusal(copy)


def test_shipped_weights_go_by_their_name_and_anything_else_is_a_folder(weights, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    (shipped / "tiny").mkdir(parents=True)
    (shipped / "tiny" / INDEX).write_text("{}")
    monkeypatch.setattr("minidiffusion.pretrained.weights.SHIPPED", shipped)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert find_weights("tiny") == shipped / "tiny"  # also where a folder of that name happens to be
    assert find_weights("./tiny").resolve() == tmp_path / "tiny"
    assert find_weights(weights) == weights
    with pytest.raises(CheckpointError, match="no weights 'huge': no such folder or file, and shipped are: tiny"):
        find_weights("huge")
