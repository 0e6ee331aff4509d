r"""The names that Stable Diffusion's authors gave its tensors (CompVis/stable-diffusion, one file for all networks).

Their modules are numbered in the order in which they run, ours are named after what they are. Each function takes one
of our names to theirs. In a U-Net with L residual blocks a level (L + 1 on the way up):

    input_blocks    0: conv_in;   (L + 1) i + j + 1: level i, block j;   (L + 1) (i + 1): the end of level i
    output_blocks   (L + 1) i + j: the way up's level i, block j, of which the last also holds the upsampler

and inside such a block .0 is the residual block, .1 the transformer. The VAE counts the levels of its decoder from the
finest, we from the one that runs first.
"""

import re

from torch import Tensor

from minidiffusion.latent.vae import AutoencoderKL
from minidiffusion.networks.unet import UNet

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."

UNET_BLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_PARTS = {
    "down_blocks.": "down.",
    "resnets.": "block.",
    "downsamplers.0.": "downsample.",
    "upsamplers.0.": "upsample.",
    "conv_shortcut": "nin_shortcut",
    "conv_norm_out": "norm_out",
    "mid_block.block.0": "mid.block_1",
    "mid_block.block.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def unet_name(name: str, unet: UNet) -> str:
    r"""Our "down_blocks.1.resnets.0.conv1.weight" is their "input_blocks.4.0.in_layers.2.weight"."""
    layers = unet.config.layers_per_block
    if found := re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name):
        way, i, kind, j, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        first = (layers + 1) * i  # the block, in their count, with which level i begins
        has_attention = hasattr(unet.up_blocks[i], "attentions")
        block = {
            "resnets": f"{first + j}.0",
            "attentions": f"{first + j}.1",
            "upsamplers": f"{first + layers}.{2 if has_attention else 1}",
        }
        if way == "down":
            block = {
                "resnets": f"{first + j + 1}.0",
                "attentions": f"{first + j + 1}.1",
                "downsamplers": f"{first + layers + 1}.0",
            }
            rest = re.sub("^conv[.]", "op.", rest)
        name = f"{'input' if way == 'down' else 'output'}_blocks.{block[kind]}.{rest}"
    for ours, theirs in UNET_ENDS.items():
        name = re.sub(rf"^{re.escape(ours)}\.", f"{theirs}.", name)
    # Inside a transformer nothing has another name, and "norm1" is a LayerNorm.
    for ours, theirs in UNET_BLOCK.items():
        name = re.sub(rf"^((?:input|output)_blocks\.\d+|middle_block)\.([02])\.{ours}\.", rf"\1.\2.{theirs}.", name)
    return name


def vae_name(name: str, vae: AutoencoderKL) -> str:
    r"""Our "decoder.up_blocks.0.resnets.1.conv1.weight" is their "decoder.up.3.block.1.conv1.weight"."""
    finest = len(vae.config.channels) - 1
    name = re.sub(r"up_blocks\.(\d+)", lambda found: f"up.{finest - int(found[1])}", name)
    for ours, theirs in VAE_PARTS.items():
        name = name.replace(ours, theirs)
    return name


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    r"""The tensors of one network, without its prefix."""
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def unet_tensors(tensors: dict[str, Tensor], unet: UNet) -> dict[str, Tensor]:
    r"""The file's U-Net under our names; what has none keeps its own, and is refused when it is loaded."""
    ours = {unet_name(name, unet): name for name in unet.state_dict()}
    return {ours.get(key, key): tensor for key, tensor in part(tensors, UNET).items()}


def vae_tensors(tensors: dict[str, Tensor], vae: AutoencoderKL) -> dict[str, Tensor]:
    r"""The file's VAE under our names. Its attention is made of 1x1 convolutions: `o i 1 1`, where ours has `o i`."""
    ours = {vae_name(name, vae): name for name in vae.state_dict()}
    renamed = {ours.get(key, key): tensor for key, tensor in part(tensors, VAE).items()}
    return {
        name: tensor.flatten(1) if ".attentions." in name and name.endswith("weight") and tensor.ndim == 4 else tensor
        for name, tensor in renamed.items()
    }
