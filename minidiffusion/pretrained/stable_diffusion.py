r"""Stable Diffusion 1.5, from the files in which others publish it (Rombach et al. 2022; article 2.2, 2.3.2).

Its networks are our classes, only wider. What is left to do is to find them on disk, in either of two layouts:

    a folder of diffusers    model_index.json, and a folder for each of unet, vae, text_encoder, tokenizer, scheduler.
                             U-Net and VAE have our names for their tensors; the sizes are in config.json
    one .safetensors file    all networks under their authors' names (compvis.py), in the sizes of 1.5

A network is made on the meta device, which costs nothing, and takes the tensors of the file for its own: 4 GB of
weights need 4 GB of memory. The scheduler's file says which noise the U-Net was trained against; which times a sampler
visits is ours to say (`Schedule.times`). Of the folder's other parts, such as the safety checker, none is loaded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from minidiffusion.checkpoint import CheckpointError, fill, read_tensors
from minidiffusion.clip.encoder import CLIPConfig, TextEncoder
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.unet import UNet, UNetConfig

from . import compvis
from .clip import from_transformers
from .diffusers_config import latent_size, prediction_kind, read_fields, text_config, unet_config, vae_config
from .weights import Parts, files_hash

INDEX = "model_index.json"
GUIDANCE = 7.5  # the default of its authors
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
SHAPES_1_5 = (
    CLIPConfig.vit_l_14(),
    UNetConfig.stable_diffusion_1_5(),
    VAEConfig.stable_diffusion_1_5(),
)
OLD_VAE_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

Tensors = dict[str, Tensor]
Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


def is_stable_diffusion(path: Path) -> bool:
    r"""Whether `load` is the one to read this, or to say why nobody can."""
    return path.is_file() or (path / INDEX).is_file()


def load(path: Path) -> Parts:
    r"""The parts in a folder of diffusers or a single file. Raises CheckpointError, with one sentence."""
    return load_folder(path) if path.is_dir() else load_file(path)


def load_folder(folder: Path) -> Parts:
    r"""The parts in a folder of diffusers."""
    kind = read_fields(folder / INDEX).get("_class_name")
    if kind != "StableDiffusionPipeline":
        raise CheckpointError(f"{folder / INDEX}: _class_name is {kind!r:.60}; built here is StableDiffusionPipeline.")
    text_shape = text_config(folder / "text_encoder" / "config.json")
    unet_shape = unet_config(folder / "unet" / "config.json")
    vae_shape = vae_config(folder / "vae" / "config.json")
    files = [
        weights_file(folder / "text_encoder", "model"),
        weights_file(folder / "unet", "diffusion_pytorch_model"),
        weights_file(folder / "vae", "diffusion_pytorch_model"),
    ]
    return Parts(
        tokenizer=read_tokenizer(folder / "tokenizer"),
        clip=build(TextEncoder, text_shape, read_tensors(files[0]), files[0], text_tensors),
        unet=build(UNet, unet_shape, read_tensors(files[1]), files[1]),
        vae=build(AutoencoderKL, vae_shape, read_tensors(files[2]), files[2], vae_tensors),
        schedule="scaled_linear",
        T=1000,
        prediction=prediction_kind(folder / "scheduler" / "scheduler_config.json"),
        weights_hash=files_hash(files),
        size=latent_size(folder / "unet" / "config.json") * vae_shape.downsampling,
        guidance=GUIDANCE,
    )


def load_file(path: Path, shapes: tuple[CLIPConfig, UNetConfig, VAEConfig] = SHAPES_1_5, size: int = 512) -> Parts:
    r"""The parts in a single file, which does not tell its own sizes. The tokenizer is OpenAI's."""
    if path.suffix in PICKLES:
        raise CheckpointError(refusal_of_pickle(path))
    tensors = read_tensors(path)
    check_noise(tensors, path)
    text, unet, vae = shapes
    return Parts(
        tokenizer=Tokenizer.openai(),
        clip=build(TextEncoder, text, compvis.part(tensors, compvis.TEXT), path, text_tensors),
        unet=build(UNet, unet, tensors, path, compvis.unet_tensors),
        vae=build(AutoencoderKL, vae, tensors, path, compvis.vae_tensors),
        schedule="scaled_linear",
        T=1000,
        prediction="eps",
        weights_hash=files_hash([path]),
        size=size,
        guidance=GUIDANCE,
    )


# --------------------------------------------------------------------------------------------------------- the networks


def build(
    kind: Callable[[Config], Network],
    config: Config,
    stored: Tensors,
    path: Path,
    rename: Callable[[Tensors, Network], Tensors] = lambda stored, network: stored,
) -> Network:
    r"""A network with the stored tensors, once they have our names."""
    with torch.device("meta"):
        network = kind(config)
    return fill(network, rename(stored, network), path, assign=True).requires_grad_(False)


def text_tensors(stored: Tensors, text: TextEncoder) -> Tensors:
    r"""Of transformers' CLIPTextModel; older files begin each name with "text_model."."""
    return {key.removeprefix("text_model."): tensor for key, tensor in from_transformers(stored).items()}


def vae_tensors(stored: Tensors, vae: AutoencoderKL) -> Tensors:
    r"""Of the VAE's names, only those of its attention were once others: "key.weight" is now "to_k.weight"."""

    def name(key: str) -> str:
        for old, new in OLD_VAE_NAMES.items():
            key = key.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
        return key

    return {name(key): tensor for key, tensor in stored.items()}


def check_noise(tensors: Tensors, path: Path) -> None:
    r"""CheckpointError if the file says how noisy its training was, and it is not as noisy as we take it to be."""
    theirs = tensors.get("alphas_cumprod")
    ours = make_schedule("scaled_linear", 1000).alpha[1:].square()
    if theirs is not None and (theirs.shape != ours.shape or not torch.allclose(theirs.double(), ours, rtol=1e-3)):
        raise CheckpointError(f"{path} was trained against other noise: its alphas_cumprod is not Stable Diffusion's.")


# ------------------------------------------------------------------------------------------------------------ the files


def weights_file(folder: Path, name: str) -> Path:
    r"""NAME.safetensors, or else NAME.fp16.safetensors; a pickle in their place is refused."""
    for path in (folder / f"{name}.safetensors", folder / f"{name}.fp16.safetensors"):
        if path.is_file():
            return path
    for path in sorted(folder.glob("*")):
        if path.suffix in PICKLES:
            raise CheckpointError(refusal_of_pickle(path))
    raise CheckpointError(f"{folder} lacks {name}.safetensors.")


def refusal_of_pickle(path: Path) -> str:
    r"""The sentence with the way out."""
    return (
        f"{path} is a pickle, which can run anything when it is opened; only .safetensors is read. If you trust it, "
        "convert it once: state = torch.load(FILE, weights_only=True); "
        'safetensors.torch.save_file(state.get("state_dict", state), NEW_FILE).'
    )


def read_tokenizer(folder: Path) -> Tokenizer:
    r"""A tokenizer with CLIP's rules, from merges.txt and vocab.json, or from tokenizer.json (transformers 5)."""
    path = folder / "tokenizer.json"
    try:
        if (folder / "merges.txt").is_file():
            path = folder / "merges.txt"
            lines = path.read_text(encoding="utf-8").split("\n")
            merges = [line for line in lines if line and not line.startswith("#version")]
            vocabulary = read_fields(folder / "vocab.json")
        else:
            model = read_fields(path)["model"]
            merges, vocabulary = model["merges"], model["vocab"]
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
        tokenizer = Tokenizer([(left, right) for left, right in pairs], words="clip")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} holds no merges of a byte-pair encoding ({error}).") from error
    if tokenizer.ids != vocabulary:
        raise CheckpointError(f"{folder}: the vocabulary is not in CLIP's order: bytes, merges, start and end of text.")
    return tokenizer
