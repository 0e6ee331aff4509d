r"""CLIP's weights from the files in which others publish them.

    folder with config.json, model.safetensors       transformers (openai/clip-vit-base-patch32 and its kin)
    FILE.safetensors, in transformers' names         the sizes from config.json beside it, or else from the tensors
    FILE.safetensors or FILE.pt, in OpenAI's names   the sizes from the tensors
    folder with clip.json, clip.safetensors          ours

The tensors' shapes tell every size but one: how many heads share a width. OpenAI's heads are 64 wide in every model,
and so they are taken to be in a file without a config. Half precision becomes single. The networks are equal, so all is
renaming, but for two traps: OpenAI keeps query, key and value in one matrix, and its two projections are transposed.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, fill, load_model, make_config, read_json, read_tensors
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.preprocess import Preprocess
from minidiffusion.clip.resnet import STRIDE
from minidiffusion.clip.tokenizer import Tokenizer

from .torchscript import read_torchscript

OPENAI_VOCABULARY = 49408
HEAD_WIDTH = 64
TRANSFORMERS_NAMES = {  # in this order
    "text_model.text_model.": "text_model.",
    "vision_model.vision_model.": "vision_model.",
    "embeddings.": "",
    "encoder.layers.": "blocks.",
    "self_attn.": "attn.",
    "q_proj": "to_q",
    "k_proj": "to_k",
    "v_proj": "to_v",
    "out_proj": "to_out.0",
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
    "pre_layrnorm": "pre_layer_norm",  # the misspelling is theirs
    "post_layernorm": "post_layer_norm",
}
OPENAI_NAMES = {
    r"^visual\.transformer\.resblocks\.": "vision_model.blocks.",
    r"^transformer\.resblocks\.": "text_model.blocks.",
    r"^visual\.proj$": "visual_projection.weight",
    r"^text_projection$": "text_projection.weight",
    r"^token_embedding\.": "text_model.token_embedding.",
    r"^positional_embedding$": "text_model.position_embedding.weight",
    r"^visual\.positional_embedding$": "vision_model.position_embedding.weight",
    r"^ln_final\.": "text_model.final_layer_norm.",
    r"^visual\.ln_pre\.": "vision_model.pre_layer_norm.",
    r"^visual\.ln_post\.": "vision_model.post_layer_norm.",
    r"^visual\.": "vision_model.",
    r"\.attn\.out_proj\.": ".attn.to_out.0.",
    r"\.ln_([12])\.": r".norm\1.",
    r"\.mlp\.c_fc\.": ".mlp.0.",
    r"\.mlp\.c_proj\.": ".mlp.2.",
}
NO_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}  # sizes, stored among OpenAI's weights
TEXT = {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "intermediate_size": 2048}
TEXT |= {"vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
VISION = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
VISION |= {"image_size": 224, "patch_size": 32, "num_channels": 3, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}

Tensors = dict[str, Tensor]


class Pretrained(NamedTuple):
    r"""A CLIP and what goes with it."""

    clip: CLIP
    tokenizer: Tokenizer
    preprocess: Preprocess


def load(path: str | Path) -> Pretrained:
    r"""CLIP with its tokenizer and its view of pictures: those of OpenAI for its 49,408 ids, else ours beside it."""
    path = Path(path)
    clip = load_clip(path)
    size = clip.config.picture_size
    if clip.config.vocab_size == OPENAI_VOCABULARY:
        return Pretrained(clip, Tokenizer.openai(), Preprocess.openai(size))
    tokenizer = Tokenizer.load((path if path.is_dir() else path.parent) / "tokenizer.json")
    if tokenizer.vocab_size != clip.config.vocab_size:
        ids = f"{tokenizer.vocab_size} ids, but CLIP {clip.config.vocab_size}"
        raise CheckpointError(f"{path}: tokenizer.json is not the one of this CLIP: it has {ids}.")
    return Pretrained(clip, tokenizer, Preprocess(size))


def load_clip(path: str | Path) -> CLIP:
    r"""The CLIP alone: float32, on the CPU, in eval mode. Raises CheckpointError, with one sentence."""
    path = Path(path)
    if path.is_dir():
        if (path / "clip.json").is_file():
            return load_model(path, "clip", CLIPConfig, CLIP)
        if not (path / "config.json").is_file():
            raise CheckpointError(f"{path} holds no CLIP: neither config.json (transformers) nor clip.json (ours).")
        path = weights_file(path)
    tensors = read_tensors(path) if path.suffix == ".safetensors" else read_torchscript(path)
    config = path.with_name("config.json")
    if "visual.conv1.weight" in tensors:
        tensors = from_openai(tensors)
        return build(config_of(tensors, path), tensors, path)
    if any(".embeddings." in key for key in tensors):
        tensors = from_transformers(tensors)
        return build(read_config(config) if config.is_file() else config_of(tensors, path), tensors, path)
    if "text_model.token_embedding.weight" in tensors:  # our names; our heads are not 64 wide, so the config is needed
        return load_model(path.parent, path.stem, CLIPConfig, CLIP)
    raise CheckpointError(f"{path} is no CLIP: its tensors have the names of neither transformers, OpenAI nor us.")


def weights_file(folder: Path) -> Path:
    path = folder / "model.safetensors"
    if not path.is_file():
        pickle = " pytorch_model.bin is a pickle, which could run anything." * (folder / "pytorch_model.bin").is_file()
        raise CheckpointError(f"{folder} lacks model.safetensors, the only format that is read.{pickle}")
    return path


def build(config: CLIPConfig, tensors: Tensors, path: Path) -> CLIP:
    r"""Made on the meta device, which costs nothing; the tensors of the file become its own."""
    try:
        with torch.device("meta"):
            clip = CLIP(config)
    except Exception as error:  # sizes that make no network, such as 5 heads for a width of 32
        raise CheckpointError(f"{path} does not describe a CLIP: {error}.") from error
    return fill(clip, tensors, path, assign=True)


# ---------------------------------------------------------------------------------------------------------------- names


def from_transformers(stored: Tensors) -> Tensors:
    r"""Our names for the tensors of a CLIPModel. `position_ids` (0, 1, 2, ...) are no weights; old files have them."""

    def name(key: str) -> str:
        for theirs, ours in TRANSFORMERS_NAMES.items():
            key = key.replace(theirs, ours)
        return key

    return {name(key): tensor for key, tensor in stored.items() if not key.endswith("position_ids")}


def from_openai(stored: Tensors) -> Tensors:
    r"""Our names, and our three matrices for its one, for the tensors of OpenAI's model."""
    resnet = "visual.proj" not in stored
    renamed: Tensors = {}
    for key, tensor in stored.items():
        if key in NO_WEIGHTS:
            continue
        if key in ("visual.proj", "text_projection"):  # theirs is x @ P, a linear layer's is x @ W.T
            tensor = tensor.T.contiguous()
        for theirs, ours in OPENAI_NAMES.items():
            key = re.sub(theirs, ours, key)
        if not resnet:
            key = key.replace("vision_model.conv1.", "vision_model.patch_embedding.")
        if ".attn.in_proj_" in key:
            for which, part in zip("qkv", tensor.chunk(3), strict=True):
                renamed[key.replace("in_proj_", f"to_{which}.")] = part
        else:
            renamed[key] = tensor
    return renamed


# ---------------------------------------------------------------------------------------------------------------- sizes


def config_of(tensors: Tensors, path: Path) -> CLIPConfig:
    r"""The sizes, read off the shapes of the tensors in our names."""

    def blocks(prefix: str) -> int:
        return len({key.removeprefix(prefix).split(".")[0] for key in tensors if key.startswith(prefix)})

    def side(key: str) -> int:
        return round((tensors[key].shape[0] - 1) ** 0.5)

    try:
        vocab_size, text_width = tensors["text_model.token_embedding.weight"].shape
        text = (
            tensors["text_projection.weight"].shape[0],
            vocab_size,
            tensors["text_model.position_embedding.weight"].shape[0],
            text_width,
            blocks("text_model.blocks."),
            text_width // HEAD_WIDTH,
        )
        if "vision_model.patch_embedding.weight" in tensors:
            width, _, _, patch = tensors["vision_model.patch_embedding.weight"].shape
            size = patch * side("vision_model.position_embedding.weight")
            return CLIPConfig(*text, size, patch, width, blocks("vision_model.blocks."), width // HEAD_WIDTH)
        width = tensors["vision_model.layer1.0.conv1.weight"].shape[0]
        size = STRIDE * side("vision_model.attnpool.positional_embedding")
        one, two, three, four = (blocks(f"vision_model.layer{i}.") for i in (1, 2, 3, 4))
        return CLIPConfig(*text, size, STRIDE, width, (one, two, three, four), 32 * width // HEAD_WIDTH)
    except KeyError as error:
        raise CheckpointError(f"{path} is no whole CLIP: {error.args[0]} is missing.") from error
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{path} is no CLIP: its tensors have other dimensions ({error}).") from error


def read_config(path: Path) -> CLIPConfig:
    r"""The sizes in transformers' config.json. Every switch that we have not built must be in our position.

    A field that is left out has the default of transformers. `eos_token_id` is 2 in the published files, where no token
    2 ends anything: transformers then pools at the largest id, as we always do.
    """
    fields = read_json(path)
    kind = fields.get("model_type") if isinstance(fields, dict) else None
    if kind != "clip":
        raise CheckpointError(f"{path}: model_type is {kind!r:.60}; read here is 'clip'.")
    text, vision = section(fields, "text_config", TEXT, path), section(fields, "vision_config", VISION, path)
    for part, named in (("text_config", text), ("vision_config", vision)):
        wanted = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_channels": 3}
        if type(named["hidden_size"]) is int:
            wanted["intermediate_size"] = 4 * named["hidden_size"]
        for key, value in wanted.items():
            if named.get(key, value) != value:
                raise CheckpointError(f"{path}: {part}.{key} is {named[key]!r:.60}; built here is {json.dumps(value)}.")
    largest = text["vocab_size"] - 1 if type(text["vocab_size"]) is int else None
    if text.get("eos_token_id", 2) not in (2, largest):
        raise CheckpointError(
            f"{path}: text_config.eos_token_id is {text['eos_token_id']!r:.60}; the end of a text must be the largest "
            f"id, {largest}."
        )
    return make_config(
        {
            "embed_dim": fields.get("projection_dim", 512),
            "vocab_size": text["vocab_size"],
            "context_length": text["max_position_embeddings"],
            "text_width": text["hidden_size"],
            "text_layers": text["num_hidden_layers"],
            "text_heads": text["num_attention_heads"],
            "picture_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "vision_width": vision["hidden_size"],
            "vision_layers": vision["num_hidden_layers"],
            "vision_heads": vision["num_attention_heads"],
        },
        CLIPConfig,
        path,
    )


def section(fields: dict[str, Any], name: str, defaults: dict[str, Any], path: Path) -> dict[str, Any]:
    r"""One half of config.json, with the defaults for what it leaves out."""
    named = fields.get(name) or {}
    if not isinstance(named, dict):
        raise CheckpointError(f"{path}: {name} is {named!r:.60}, which has no fields.")
    return defaults | named
