r"""The config.json files of diffusers and transformers, as our configs.

They name many switches. Those that are sizes become fields of our configs. Of every other switch our classes have one
position, that of Stable Diffusion 1.5; a file that asks for another is refused, since a network with another activation
or epsilon would load without a word and draw nonsense. A switch that nobody here has heard of must be off.
"""

from pathlib import Path
from typing import Any

from minidiffusion.checkpoint import CheckpointError, make_config, read_json
from minidiffusion.clip.encoder import CLIPConfig
from minidiffusion.diffusion.prediction import PredictionType
from minidiffusion.latent.vae import VAEConfig
from minidiffusion.networks.unet import UNetConfig

Fields = dict[str, Any]

UNET_SIZES = {
    "in_channels": "in_channels",
    "block_out_channels": "channels",
    "layers_per_block": "layers_per_block",
    "attention_head_dim": "heads",  # it says 8 and means 8 heads, of 40 to 160 channels (diffusers #2011)
    "cross_attention_dim": "context_dim",
    "norm_num_groups": "groups",
}
UNET_SWITCHES = {
    "act_fn": "silu",
    "attention_type": "default",
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-5,
    "resnet_out_scale_factor": 1,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
    "transformer_layers_per_block": 1,
}
VAE_SIZES = {
    "latent_channels": "latent_channels",
    "block_out_channels": "channels",
    "layers_per_block": "layers_per_block",
    "norm_num_groups": "groups",
    "scaling_factor": "scaling_factor",
}
VAE_SWITCHES = {
    "act_fn": "silu",
    "in_channels": 3,
    "out_channels": 3,
    "mid_block_add_attention": True,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
}
TEXT_SIZES = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "hidden_size": "text_width",
    "num_hidden_layers": "text_layers",
    "num_attention_heads": "text_heads",
}
SCHEDULE_SWITCHES = {  # the rest of the file describes a sampler, and which one is used is ours to say
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
WITHOUT_EFFECT = ("sample_size", "dropout", "force_upcast", "addition_embed_type_num_heads")
PREDICTIONS: dict[str, PredictionType] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


def read_fields(path: Path) -> Fields:
    r"""The object in a JSON file."""
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path} holds no fields, but {fields!r:.60}.")
    return fields


def check_switches(fields: Fields, switches: Fields, path: Path) -> None:
    r"""CheckpointError if a switch is in another position; one that is not named is older than its alternatives."""
    for key, value in switches.items():
        if fields.get(key, value) != value:
            raise CheckpointError(f"{path}: {key} is {fields[key]!r:.200}; built here is {value!r}.")


def check_others_off(fields: Fields, known: Fields, path: Path) -> None:
    r"""CheckpointError if a field that is not known is anything but None or False."""
    for key, value in fields.items():
        passed_over = key in known or key in WITHOUT_EFFECT or key.startswith("_")
        if not passed_over and value is not None and value is not False:
            raise CheckpointError(f"{path}: {key:.60} is {value!r:.60}; nothing of that kind is built here.")


def renamed(fields: Fields, sizes: dict[str, str], path: Path) -> Fields:
    r"""The sizes under our names."""
    if missing := [key for key in sizes if key not in fields]:
        raise CheckpointError(f"{path} lacks the field {', '.join(missing)}.")
    return {ours: fields[theirs] for theirs, ours in sizes.items()}


def levels(fields: Fields) -> list[Any]:
    r"""The kinds of block on the way down, one a level; what is no list is refused as a switch."""
    kinds = fields.get("down_block_types")
    return kinds if isinstance(kinds, list) else []


def unet_config(path: Path) -> UNetConfig:
    r"""Of a UNet2DConditionModel."""
    fields = read_fields(path)
    attention = [kind == "CrossAttnDownBlock2D" for kind in levels(fields)]
    switches = UNET_SWITCHES | {
        "down_block_types": ["CrossAttnDownBlock2D" if level else "DownBlock2D" for level in attention],
        "up_block_types": ["CrossAttnUpBlock2D" if level else "UpBlock2D" for level in reversed(attention)],
        "out_channels": fields.get("in_channels"),
    }
    check_switches(fields, switches, path)
    check_others_off(fields, switches | UNET_SIZES, path)
    return make_config({**renamed(fields, UNET_SIZES, path), "attention": attention, "ff_mult": 4}, UNetConfig, path)


def vae_config(path: Path) -> VAEConfig:
    r"""Of an AutoencoderKL. The files of 2022 do not name the scaling: it was one number then."""
    fields = {"scaling_factor": VAEConfig.stable_diffusion_1_5().scaling_factor, **read_fields(path)}
    n = len(levels(fields))
    switches = VAE_SWITCHES | {
        "down_block_types": ["DownEncoderBlock2D"] * n,
        "up_block_types": ["UpDecoderBlock2D"] * n,
    }
    check_switches(fields, switches, path)
    check_others_off(fields, switches | VAE_SIZES, path)
    ours = {**renamed(fields, VAE_SIZES, path), "patch": 1, "mid_attention": True, "linear_path": False}
    return make_config(ours, VAEConfig, path)


def text_config(path: Path) -> CLIPConfig:
    r"""Of a CLIPTextModel, in a config whose vision half means nothing. Most of its fields concern training."""
    fields = read_fields(path)
    ours = renamed(fields, TEXT_SIZES, path)
    for name in TEXT_SIZES:
        if type(fields[name]) is not int or fields[name] < 1:
            raise CheckpointError(f"{path}: {name} is {fields[name]!r:.60}, not a whole number.")
    switches = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "intermediate_size": 4 * ours["text_width"]}
    check_switches(fields, switches, path)
    return CLIPConfig(**ours)


def latent_size(path: Path) -> int:
    r"""Of a UNet2DConditionModel: the height and width of the latents that it was trained on."""
    size = read_fields(path).get("sample_size")
    if type(size) is not int or size < 1:
        raise CheckpointError(f"{path}: sample_size must be a whole number of at least 1, got {size!r:.60}.")
    return size


def prediction_kind(path: Path) -> PredictionType:
    r"""Of a scheduler_config.json: what the U-Net predicts, if its noise was that of Stable Diffusion."""
    fields = read_fields(path)
    check_switches(fields, SCHEDULE_SWITCHES, path)
    name = fields.get("prediction_type", "epsilon")
    if not isinstance(name, str) or name not in PREDICTIONS:
        raise CheckpointError(f"{path}: prediction_type must be one of {', '.join(PREDICTIONS)}, got {name!r:.60}.")
    return PREDICTIONS[name]
