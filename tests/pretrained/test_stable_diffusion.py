r"""Stable Diffusion's files in our modules: the pictures of diffusers' own pipeline, from the same folder.

Everything is narrow and random in every tensor (tests/shake.py), so no part of a network is without effect.
"""

import functools
import json
import shutil

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from minidiffusion.attention.block import GEGLU, QuickGELU
from minidiffusion.attention.multi_head import MultiHeadAttention
from minidiffusion.checkpoint import CheckpointError, read_tensors
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.networks import unet as unet_module
from minidiffusion.networks.convolution import Downsample, GroupNorm
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.pipelines.latent_diffusion import SeededNoise
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained import compvis, stable_diffusion
from minidiffusion.pretrained.clip import TRANSFORMERS_NAMES
from minidiffusion.pretrained.diffusers_config import text_config
from tests.shake import relative_error
from tests.tiny_stable_diffusion import SIZE, make_pipeline, tokenizer

pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries deprecate is theirs to mend

PROMPT, NEGATIVE = "a red house by the sea at night", "a small blue cat"
AGREES = 1e-12  # relative, in float64
WEIGHTS = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")


@pytest.fixture(scope="module")
def theirs():
    pipeline = make_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny-stable-diffusion")
    theirs.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def ours(folder):
    return TextToImage.load(folder)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def pixels(model, seeds, **settings):
    r"""`b 3 h w` in [0, 1], the range in which diffusers hands out its pictures."""
    return (model.generate(f"{PROMPT} --no {NEGATIVE}", seeds, **settings) + 1) / 2


def pixels_of_theirs(pipeline, seeds, steps, guidance, size=SIZE):
    r"""The same of diffusers, from the noise that our seeds stand for."""
    noise = SeededNoise(seeds)(torch.empty(len(seeds), 4, size // 8, size // 8))
    return pipeline(
        [PROMPT] * len(seeds), negative_prompt=[NEGATIVE] * len(seeds), num_inference_steps=steps,
        guidance_scale=guidance, latents=noise, height=size, width=size, output_type="pt",
    ).images  # fmt: skip


# ---------------------------------------------------------------------------------------------------- the same pictures


def scheduler(name):
    r"""diffusers' sampler of that name, told to visit the times that ours visits, and to end where ours ends.

    trailing: T, T - T/n, ..., as `Schedule.times` has them (Stable Diffusion's own folder says "leading" from t = 1,
    which never shows the network the noisiest times). set_alpha_to_one, final_sigmas_type: the last step goes to the
    clean picture, not to what t = 1 still has of noise. skip_prk_steps: PLMS as it was in Stable Diffusion, without
    Runge-Kutta steps before it. clip_sample: latents are not pixels, and have no bounds to be cut at.
    8 steps divide T = 1000: otherwise their DDIM and PLMS step to t - T // n, which is not the next time.
    """
    diffusers = pytest.importorskip("diffusers")
    noise = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    match name:
        case "ddim":
            sampler, settings = diffusers.DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": True}
        case "plms":
            sampler, settings = diffusers.PNDMScheduler, {"skip_prk_steps": True, "set_alpha_to_one": True}
        case _:
            sampler, settings = diffusers.DPMSolverMultistepScheduler, {"final_sigmas_type": "zero"}
    return sampler(**noise, **settings, timestep_spacing="trailing")


@pytest.mark.parametrize("guidance", [1.0, 7.5])
@pytest.mark.parametrize("sampler", ["ddim", "plms", "dpm++"])
def test_the_pictures_are_those_of_diffusers(theirs, ours, sampler, guidance):
    theirs.scheduler = scheduler(sampler)
    wanted = pixels_of_theirs(theirs, [3, 4], steps=8, guidance=guidance)
    settings = {"steps": 8, "guidance": guidance, "sampler": sampler}
    assert (pixels(ours, [3, 4], **settings) - wanted).abs().max() < 2e-6
    assert ((wanted > 0) & (wanted < 1)).float().mean() > 0.5  # what is cut off at black and white agrees for nothing
    for other in ({"steps": 7}, {"sampler": "heun"}, {"guidance": guidance + 0.1}):
        assert (pixels(ours, [3, 4], **settings | other) - wanted).abs().max() > 1e-4


def test_another_size_than_it_was_trained_on(theirs, ours):
    theirs.scheduler = scheduler("ddim")
    wanted = pixels_of_theirs(theirs, [0], steps=4, guidance=7.5, size=2 * SIZE)
    settings = {"steps": 4, "guidance": 7.5, "sampler": "ddim", "size": 2 * SIZE}
    assert wanted.shape == (1, 3, 2 * SIZE, 2 * SIZE)
    assert (pixels(ours, [0], **settings) - wanted).abs().max() < 2e-6


def test_it_says_what_suits_it(ours, folder):
    assert (ours.size, ours.guidance, ours.context_length, ours.size_step) == (SIZE, 7.5, 77, 64)
    assert ours.training_noise == {"schedule": "scaled_linear", "T": 1000, "prediction": "eps"} and ours.clip is None
    (picture,) = ours.imagine(PROMPT, [0], steps=1, sampler="ddim")
    record = picture.record
    assert (record.width, record.height, record.guidance) == (SIZE, SIZE, 7.5) and len(record.weights) == 64
    with pytest.raises(CheckpointError, match="only the text encoder is here"):
        ours.save(folder / "new")
    assert not (folder / "new").exists()


# ---------------------------------------------------------------------------------------------------- one wrong detail


def errors(model, pipeline, dtype=torch.float64) -> dict[str, float]:
    r"""How far each network is from the one of diffusers, relative; the text encoder reads a short and a long prompt.

    By default in float64, where rounding is 1e-15 and hides nothing: the epsilon of one norm is worth 1e-7 here.
    """
    ids = model.tokenizer([PROMPT, f"{PROMPT}, {NEGATIVE}, " * 9], 77)
    generator = torch.Generator().manual_seed(1)
    x, z, context = (
        torch.randn(2, *shape, generator=generator).to(dtype) for shape in ((3, SIZE, SIZE), (4, 8, 8), (77, 24))
    )
    t = torch.tensor([3, 871])
    for network in (model.text_model, model.unet, model.vae, pipeline.text_encoder, pipeline.unet, pipeline.vae):
        network.to(dtype)
    with torch.no_grad():
        answers = {
            "text encoder": (model.text_model(ids)[0], pipeline.text_encoder(ids).last_hidden_state),
            "U-Net": (model.unet(z, t, context), pipeline.unet(z, t, context).sample),
            "encoder": (model.vae.encode(x).mean, pipeline.vae.encode(x).latent_dist.mean),
            "decoder": (model.vae.decode(z), pipeline.vae.decode(z).sample),
        }
    for network in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        network.float()
    return {name: relative_error(a, b) for name, (a, b) in answers.items()}


def test_each_network_is_that_of_diffusers(folder, theirs):
    assert max(errors(TextToImage.load(folder), theirs, torch.float32).values()) < 1e-6
    assert max(errors(TextToImage.load(folder), theirs).values()) < AGREES


def with_eps(network, kind, old, new):
    for module in network.modules():
        if isinstance(module, kind) and module.eps == old:
            module.eps = new


def with_heads(network, heads):
    for module in network.modules():
        if isinstance(module, MultiHeadAttention) and module.heads > 1:
            module.heads = heads


def swapped_geglu(self, x):
    gate, value = self.proj(x).chunk(2, dim=-1)
    return value * F.gelu(gate)


def tanh_geglu(self, x):
    value, gate = self.proj(x).chunk(2, dim=-1)
    return value * F.gelu(gate, approximate="tanh")


def shifted_embedding(t, dim):
    angle = t.float()[:, None] * 10_000.0 ** (-torch.arange(dim // 2) / (dim // 2 - 1))
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def sin_first(t, dim, embedding=unet_module.sinusoidal_embedding):
    return embedding(t, dim).roll(dim // 2, dims=1)


def padded_evenly(self, x):
    return self.conv(F.pad(x, (1, 1, 1, 1)))


def causal_mask_off(model, patch):
    for block in model.text_model.blocks:
        block.attn.causal = False


WRONG = {
    "sines before cosines": ("U-Net", lambda model, patch: patch(unet_module, "sinusoidal_embedding", sin_first)),
    "frequency shift 1": ("U-Net", lambda model, patch: patch(unet_module, "sinusoidal_embedding", shifted_embedding)),
    "GEGLU's halves": ("U-Net", lambda model, patch: patch(GEGLU, "forward", swapped_geglu)),
    "GEGLU's gelu by tanh": ("U-Net", lambda model, patch: patch(GEGLU, "forward", tanh_geglu)),
    "eps of residual blocks": ("U-Net", lambda model, patch: with_eps(model.unet, GroupNorm, 1e-5, 1e-6)),
    "eps of transformers": ("U-Net", lambda model, patch: with_eps(model.unet, GroupNorm, 1e-6, 1e-5)),
    "eps of layer norms": ("U-Net", lambda model, patch: with_eps(model.unet, torch.nn.LayerNorm, 1e-5, 1e-6)),
    "heads of the U-Net": ("U-Net", lambda model, patch: with_heads(model.unet, 2)),
    "eps of the encoder": ("encoder", lambda model, patch: with_eps(model.vae.encoder, GroupNorm, 1e-6, 1e-5)),
    "eps of the decoder": ("decoder", lambda model, patch: with_eps(model.vae.decoder, GroupNorm, 1e-6, 1e-5)),
    "padding side": ("encoder", lambda model, patch: patch(Downsample, "forward", padded_evenly)),
    "gelu of the text": ("text encoder", lambda model, patch: patch(QuickGELU, "forward", lambda self, x: F.gelu(x))),
    "eps of the text": (
        "text encoder",
        lambda model, patch: with_eps(model.text_model, torch.nn.LayerNorm, 1e-5, 1e-6),
    ),
    "heads of the text": ("text encoder", lambda model, patch: with_heads(model.text_model, 4)),
    "text without mask": ("text encoder", causal_mask_off),
    "text without last norm": (
        "text encoder",
        lambda model, patch: patch(model.text_model.final_layer_norm, "forward", lambda x: x),
    ),
}


@pytest.mark.parametrize("detail", WRONG)
def test_one_wrong_detail_is_seen_in_its_network_and_only_there(folder, theirs, monkeypatch, detail):
    network, spoil = WRONG[detail]
    model = TextToImage.load(folder)
    spoil(model, monkeypatch.setattr)
    error = errors(model, theirs)
    seen = {name for name in error if error[name] > AGREES}
    assert seen == {network}


# -------------------------------------------------------------------------------------------------------- other layouts


def state(model) -> dict[str, torch.Tensor]:
    networks = {"text": model.text_model, "unet": model.unet, "vae": model.vae}
    return {f"{name}.{key}": t for name, network in networks.items() for key, t in network.state_dict().items()}


def assert_same(model, original, dtype=torch.float32):
    r"""The numbers of the original, once rounded to dtype, in float32."""
    have, want = state(model), state(original)
    assert have.keys() == want.keys()
    for key in want:
        assert have[key].dtype == torch.float32 and torch.equal(have[key], want[key].to(dtype).float()), key


def rewrite(folder, name, change):
    path = folder / f"{name}.safetensors"
    tensors = safetensors.torch.load_file(path)
    path.unlink()  # it is mapped into memory while others use it
    safetensors.torch.save_file(change(tensors), path)


def test_files_of_2022_have_other_names_and_a_tensor_more(copy, ours):
    r"""The prefix of the text encoder, its position_ids, and the VAE's attention were all renamed since."""
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def older_vae(tensors):
        for new_name, old_name in old.items():
            tensors = {key.replace(new_name, old_name): tensor for key, tensor in tensors.items()}
        return tensors

    def older_text(tensors):
        positions = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
        return {f"text_model.{key.removeprefix('text_model.')}": t for key, t in tensors.items()} | positions

    rewrite(copy, WEIGHTS[1], older_vae)
    rewrite(copy, WEIGHTS[2], older_text)
    config = json.loads((copy / "vae" / "config.json").read_text())
    del config["scaling_factor"]
    (copy / "vae" / "config.json").write_text(json.dumps(config))
    older = TextToImage.load(copy)
    assert_same(older, ours)
    assert older.vae.config.scaling_factor == 0.18215


def test_half_precision_on_disk_is_float32_in_memory(copy, ours):
    for name in WEIGHTS:
        rewrite(copy, name, lambda tensors: {key: tensor.half() for key, tensor in tensors.items()})
    assert_same(TextToImage.load(copy), ours, torch.float16)
    for name in WEIGHTS:
        (copy / f"{name}.safetensors").rename(copy / f"{name}.fp16.safetensors")
    half = TextToImage.load(copy)
    assert_same(half, ours, torch.float16)
    assert half.generate(PROMPT, [0], steps=1).isfinite().all()


def test_the_tokenizer_is_read_from_either_form(copy, ours):
    (copy / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in ours.tokenizer.merges), ""])
    (copy / "tokenizer" / "merges.txt").write_text(merges, encoding="utf-8")
    (copy / "tokenizer" / "vocab.json").write_text(json.dumps(ours.tokenizer.ids))
    again = TextToImage.load(copy).tokenizer
    assert again.ids == ours.tokenizer.ids and torch.equal(again([PROMPT, ""], 77), ours.tokenizer([PROMPT, ""], 77))
    assert ours.tokenizer([""], 77).tolist() == [[ours.tokenizer.start] + 76 * [ours.tokenizer.end]]


def test_ids_are_those_of_transformers(ours, theirs):
    texts = ["", PROMPT, "A RED  house!!", "it's 1987", "naïve café", "夜晚海边的红色小房子", "🙂🙂", "red " * 100]
    ids = theirs.tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    assert torch.equal(ours.tokenizer(texts, 77), ids)


def test_nothing_is_in_memory_twice(folder, ours):
    r"""The U-Net's numbers are those of the file, where it is mapped."""
    path = folder / f"{WEIGHTS[0]}.safetensors"
    stored = read_tensors(path)
    unet = stable_diffusion.build(UNet, ours.unet.config, stored, path)
    assert all(tensor.data_ptr() == stored[key].data_ptr() for key, tensor in unet.state_dict().items())


# ---------------------------------------------------------------------------------------------------------- single file


def compvis_tensors(model) -> dict[str, torch.Tensor]:
    r"""The model as a single file has it, under the names that `compvis` says."""
    unet, vae, text = model.unet.state_dict(), model.vae.state_dict(), model.text_model.state_dict()
    tensors = {compvis.UNET + compvis.unet_name(key, model.unet): tensor for key, tensor in unet.items()}
    for key, tensor in vae.items():
        conv = ".attentions." in key and tensor.ndim == 2
        tensors[compvis.VAE + compvis.vae_name(key, model.vae)] = tensor[:, :, None, None] if conv else tensor
    names = {ours: theirs for theirs, ours in TRANSFORMERS_NAMES.items() if ours and "vision" not in theirs}
    for key, tensor in text.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        kind = "" if key.startswith(("encoder.", "final")) else "embeddings."
        tensors[f"{compvis.TEXT}text_model.{kind}{key}"] = tensor
    tensors["model_ema.decay"] = torch.tensor(0.9999)
    tensors["alphas_cumprod"] = model.schedule.alpha[1:].square().float()
    return {key: tensor.contiguous() for key, tensor in tensors.items()}


def test_the_names_of_a_single_file_are_those_that_diffusers_reads(ours, theirs):
    r"""diffusers' own converter takes such a file to the very tensors that it saved itself."""
    convert = pytest.importorskip("diffusers.loaders.single_file_utils")
    tensors = compvis_tensors(ours)
    results = {
        "unet": convert.convert_ldm_unet_checkpoint(dict(tensors), theirs.unet.config),
        "vae": convert.convert_ldm_vae_checkpoint(dict(tensors), theirs.vae.config),
        "text_encoder": convert.convert_ldm_clip_checkpoint(dict(tensors)),
    }
    for name, result in results.items():
        network = getattr(theirs, name)
        wanted = network.state_dict()
        result = {key.removeprefix("text_model.") if name == "text_encoder" else key: t for key, t in result.items()}
        wanted = {key.removeprefix("text_model."): tensor for key, tensor in wanted.items()}
        assert result.keys() == wanted.keys(), name
        for key in wanted:
            assert torch.equal(result[key], wanted[key]), key


def test_the_sampling_blocks_of_1_5_have_their_published_names():
    r"""The converter reads an upsampler from either of two places, so it does not tell which one is right.

    In the authors' code it comes after the transformer, if its level has one (openaimodel.py: `layers.append`).
    """
    with torch.device("meta"):
        unet = UNet(UNetConfig.stable_diffusion_1_5())
    names = [compvis.unet_name(name, unet) for name in unet.state_dict()]
    assert len(set(names)) == 686
    assert {"input_blocks.3.0.op.weight", "input_blocks.6.0.op.weight", "input_blocks.9.0.op.weight"} <= set(names)
    assert {"output_blocks.2.1.conv.bias", "output_blocks.5.2.conv.bias", "output_blocks.8.2.conv.bias"} <= set(names)


@pytest.fixture
def single(ours, folder, tmp_path, monkeypatch):
    r"""A single file of the tiny model, and `load_file` in its sizes."""
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(compvis_tensors(ours), path)
    monkeypatch.setattr(Tokenizer, "openai", tokenizer)
    shapes = (text_config(folder / "text_encoder" / "config.json"), ours.unet.config, ours.vae.config)
    in_these_sizes = functools.partial(stable_diffusion.load_file, shapes=shapes, size=SIZE)
    monkeypatch.setattr(stable_diffusion, "load_file", in_these_sizes)
    return path


def test_a_single_file_makes_the_same_pictures(single, ours):
    model = TextToImage.load(single)
    assert_same(model, ours)
    assert (model.size, model.guidance, model.training_noise) == (ours.size, ours.guidance, ours.training_noise)
    assert (pixels(model, [0], steps=2) - pixels(ours, [0], steps=2)).abs().max() < 2e-6


def test_a_single_file_has_the_sizes_of_1_5(single, monkeypatch):
    monkeypatch.setattr(stable_diffusion, "load_file", stable_diffusion.load_file.func)
    said = refusal(single)  # of the 196 tensors of its text encoder, here are those of 2 of 12 layers
    assert "does not fit TextEncoder: blocks.2.norm1.weight is missing" in said and "and 191 more" in said


def test_a_single_file_for_another_network_is_refused(single):
    def with_tensors(change):
        rewrite(single.parent, "model", lambda tensors: tensors | change)
        return refusal(single)

    assert "other noise" in with_tensors({"alphas_cumprod": torch.linspace(1, 0, 1000)})
    schedule = {"alphas_cumprod": make_schedule("scaled_linear").alpha[1:].square()}
    extra = with_tensors({compvis.UNET + "label_emb.0.0.weight": torch.zeros(2), **schedule})
    assert "does not fit UNet: label_emb.0.0.weight is unknown" in extra


# ------------------------------------------------------------------------------------------------------------ bad input


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        TextToImage.load(path)
    assert "\n" not in str(caught.value) and str(path.parent) in str(caught.value)
    return str(caught.value)


SWITCHES = [
    ("unet", {"use_linear_projection": True}),
    ("unet", {"act_fn": "gelu"}),
    ("unet", {"flip_sin_to_cos": False}),
    ("unet", {"norm_eps": 1e-6}),
    ("unet", {"class_embed_type": "timestep"}),
    ("unet", {"num_class_embeds": 0}),
    ("unet", {"only_cross_attention": True}),
    ("unet", {"a_switch_of_next_year": "on"}),
    ("unet", {"attention_head_dim": [4, 8, 8, 8]}),
    ("unet", {"layers_per_block": "2"}),
    ("unet", {"in_channels": 9}),
    ("unet", {"down_block_types": ["AttnDownBlock2D"] * 4}),
    ("unet", {"up_block_types": ["UpBlock2D"] * 4}),
    ("unet", {"down_block_types": 4}),
    ("unet", {"sample_size": None}),
    ("unet", {"block_out_channels": [16, 32, 32, 30]}),
    ("vae", {"act_fn": "gelu"}),
    ("vae", {"shift_factor": 0.1}),
    ("vae", {"use_quant_conv": False}),
    ("vae", {"up_block_types": ["AttnUpDecoderBlock2D"] * 4}),
    ("vae", {"block_out_channels": None}),
    ("text_encoder", {"hidden_act": "gelu"}),
    ("text_encoder", {"intermediate_size": 97}),
    ("text_encoder", {"layer_norm_eps": 1e-6}),
    ("text_encoder", {"num_hidden_layers": 2.5}),
    ("scheduler", {"beta_schedule": "linear"}),
    ("scheduler", {"beta_end": 0.02}),
    ("scheduler", {"prediction_type": ["epsilon"]}),
    ("scheduler", {"rescale_betas_zero_snr": True}),
]


@pytest.mark.parametrize(("part", "field"), SWITCHES, ids=str)
def test_what_is_not_built_here_is_refused_by_its_name(copy, part, field):
    path = copy / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    change(path, **field)
    (name,) = field
    names = {"attention_head_dim": "heads", "block_out_channels": "channels", "in_channels": "out_channels"}
    said = refusal(copy)
    assert str(path) in said and (name in said or names[name] in said)


def test_a_pipeline_of_another_kind_is_refused(copy):
    change(copy / "model_index.json", _class_name="StableDiffusionXLPipeline")
    assert "_class_name is 'StableDiffusionXLPipeline'" in refusal(copy)
    (copy / "model_index.json").write_text("[]")
    assert "model_index.json holds no fields" in refusal(copy)


@pytest.mark.parametrize("name", ["unet/config.json", "vae/config.json", "text_encoder/config.json", *WEIGHTS])
def test_a_file_that_is_missing_is_named(copy, name):
    (copy / (name if name.endswith("json") else f"{name}.safetensors")).unlink()
    assert name.split("/")[1] in refusal(copy)


def test_without_tokenizer_or_scheduler_nothing_is_loaded(copy):
    shutil.rmtree(copy / "scheduler")
    assert "scheduler_config.json: No such file" in refusal(copy)
    shutil.rmtree(copy / "tokenizer")
    assert "tokenizer.json: No such file" in refusal(copy)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"model": 3}', '{"model": {"merges": ["a"], "vocab": {}}}'])
def test_a_tokenizer_that_is_none_is_refused(copy, text):
    (copy / "tokenizer" / "tokenizer.json").write_text(text)
    assert "tokenizer.json" in refusal(copy)


def test_ids_in_another_order_are_refused(copy, ours):
    content = json.loads((copy / "tokenizer" / "tokenizer.json").read_text())
    vocab = content["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    (copy / "tokenizer" / "tokenizer.json").write_text(json.dumps(content))
    assert "the vocabulary is not in CLIP's order" in refusal(copy)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_do_not_fit_are_named(copy, name):
    def spoil(tensors):
        key = next(key for key in tensors if key.endswith("weight"))
        return tensors | {key: tensors[key][:1].contiguous(), "extra": torch.zeros(1)}

    rewrite(copy, name, spoil)
    said = refusal(copy)
    assert f"{name}.safetensors does not fit" in said and "extra is unknown" in said and "has shape" in said


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_that_is_cut_short_is_refused(copy, keep):
    path = copy / f"{WEIGHTS[0]}.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:keep])
    assert "is not a whole safetensors file" in refusal(copy)


def test_numbers_that_are_none_are_refused(copy):
    rewrite(copy, WEIGHTS[1], lambda tensors: {key: tensor * float("nan") for key, tensor in tensors.items()})
    assert "is damaged" in refusal(copy)


def test_a_pickle_is_refused_unopened_with_the_way_to_convert_it(copy, tmp_path):
    pickle = b"cos\nsystem\n(S'touch " + str(tmp_path / "run").encode() + b"'\ntR."
    (copy / f"{WEIGHTS[0]}.safetensors").unlink()
    (copy / f"{WEIGHTS[0]}.bin").write_bytes(pickle)
    (tmp_path / "sd.ckpt").write_bytes(pickle)
    for path in (copy, tmp_path / "sd.ckpt"):
        said = refusal(path)
        assert "is a pickle" in said and "safetensors.torch.save_file" in said and "weights_only=True" in said
    (tmp_path / "sd.safetensors").write_bytes(pickle)  # under another name it is no better
    assert "is not a whole safetensors file" in refusal(tmp_path / "sd.safetensors")
    assert not (tmp_path / "run").exists()


def test_the_record_tells_weights_apart(copy, ours):
    assert TextToImage.load(copy).weights_hash == ours.weights_hash
    rewrite(copy, WEIGHTS[0], lambda tensors: {key: tensor * 2 for key, tensor in tensors.items()})
    assert TextToImage.load(copy).weights_hash != ours.weights_hash
