r"""transformers' CLIPModel, tiny, with random numbers in every tensor: the oracle, and the files it writes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minidiffusion.clip.encoder import CLIP
from tests.shake import relative_error, shake

END = 98
IDS = torch.tensor([[97, 5, END, END, END], [97, 6, 7, 8, END], [97, END, END, END, END]])


def reference(**text: Any) -> Any:
    r"""Heads 64 wide, as OpenAI's are, since a file without a config says nothing of them. `text`: other fields."""
    import transformers

    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 128, "intermediate_size": 512}
    ids = {
        "vocab_size": 99,
        "max_position_embeddings": 12,
        "eos_token_id": END,
        "bos_token_id": 97,
        "pad_token_id": END,
    }
    vision = {"image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(
        text_config={**sizes, **ids, **text}, vision_config={**sizes, **vision}, projection_dim=24
    )
    return lively(transformers.CLIPModel(config))


@torch.no_grad()
def lively(module: nn.Module) -> Any:
    r"""Random numbers in every tensor, with gains of norms and spreads near 1.

    Gains near 0, which `shake` gives, would shrink the picture from layer to layer until the biases are all that is
    left; every network agrees with every other on that.
    """
    shake(module)
    generator = torch.Generator().manual_seed(2)
    for part in module.modules():
        if isinstance(part, nn.LayerNorm | nn.BatchNorm2d):
            part.weight.copy_(1 + 0.3 * torch.randn(part.weight.shape, generator=generator))
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.copy_(0.3 * torch.randn(part.running_mean.shape, generator=generator))
            part.running_var.copy_(0.5 + torch.rand(part.running_var.shape, generator=generator))
    return module


def pictures() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def difference(clip: CLIP, model: Any, ids: Tensor = IDS) -> float:
    r"""The largest relative error: of the logits, and of what leaves either tower, whose length still differs."""
    logits = model(input_ids=IDS, pixel_values=pictures()).logits_per_image
    pairs = (
        (clip(pictures(), ids), logits),
        (clip.text_model(ids)[1], model.text_model(input_ids=IDS).pooler_output),
        (clip.vision_model(pictures()), model.vision_model(pixel_values=pictures()).pooler_output),
    )
    return max(relative_error(ours, expected) for ours, expected in pairs)


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def in_openai_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    r"""transformers' names turned into OpenAI's: the reverse of the way that the library goes, written on its own."""
    theirs: dict[str, Tensor] = {"logit_scale": state["logit_scale"]}
    for half, stem in (("text_model", ""), ("vision_model", "visual.")):
        for layer in range(2):
            old, new = f"{half}.encoder.layers.{layer}.", f"{stem}transformer.resblocks.{layer}."
            for kind in ("weight", "bias"):
                three = [state[f"{old}self_attn.{which}_proj.{kind}"] for which in "qkv"]
                theirs[f"{new}attn.in_proj_{kind}"] = torch.cat(three)
                pairs = {"self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2"}
                for a, b in {**pairs, "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}.items():
                    theirs[f"{new}{b}.{kind}"] = state[f"{old}{a}.{kind}"]
    for kind in ("weight", "bias"):
        theirs[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
        theirs[f"visual.ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        theirs[f"visual.ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
    theirs["token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"]
    theirs["positional_embedding"] = state["text_model.embeddings.position_embedding.weight"]
    theirs["visual.conv1.weight"] = state["vision_model.embeddings.patch_embedding.weight"]
    theirs["visual.class_embedding"] = state["vision_model.embeddings.class_embedding"]
    theirs["visual.positional_embedding"] = state["vision_model.embeddings.position_embedding.weight"]
    theirs["text_projection"] = state["text_projection.weight"].T.contiguous()
    theirs["visual.proj"] = state["visual_projection.weight"].T.contiguous()
    return theirs
