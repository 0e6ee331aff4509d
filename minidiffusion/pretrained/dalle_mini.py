r"""DALL-E Mini's transformer, from the files in which it is published for PyTorch (article 6.1; Dayma et al. 2021).

Its authors trained it in JAX. min-dalle (Kuprel 2022) keeps the same tensors in two files, encoder.pt and decoder.pt.
The layers are those of `seq2seq.py`, only wider, so all is renaming, part by part of a name:

    layers.3.pre_encoder_attn_layer_norm.weight     their decoder's
    layers.3.norm2.weight                           ours

Its ids: a prompt is 0, words, 2, and is filled up with 1; a picture of 256 x 256 is 16 x 16 ids below 16384, and 16384
stands for "nothing yet". Its head has a logit for that one as well, which is never asked for; ours has none.

Only the transformer is here. To see a picture one needs its VQGAN too, whose decoder is not quite ours: it has
attention in its coarsest level on the way up.
"""

from pathlib import Path

import torch
from torch import Tensor

from minidiffusion.checkpoint import fill, load_state
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig

PARTS = {
    "embed_tokens": "token_embedding",
    "embed_positions": "position_embedding",
    "layernorm_embedding": "embedding_norm",
    "final_ln": "final_norm",
    "q_proj": "to_q",
    "k_proj": "to_k",
    "v_proj": "to_v",
    "out_proj": "to_out",
    "glu": "ff",
    "ln0": "norm",
    "ln1": "inner_norm",
    "fc0": "gate",
    "fc1": "value",
    "fc2": "out",
}
ENCODER = PARTS | {
    "pre_self_attn_layer_norm": "norm",
    "self_attn": "attn",
    "self_attn_layer_norm": "post_norm",
}
DECODER = PARTS | {
    "pre_self_attn_layer_norm": "norm1",
    "self_attn": "attn1",
    "self_attn_layer_norm": "post_norm1",
    "pre_encoder_attn_layer_norm": "norm2",
    "encoder_attn": "attn2",
    "encoder_attn_layer_norm": "post_norm2",
}

Tensors = dict[str, Tensor]


def load(folder: str | Path, config: Seq2SeqConfig | None = None) -> Seq2Seq:
    r"""The transformer in encoder.pt and decoder.pt, in float32, on the CPU; by default of DALL-E Mini's sizes.

    Only tensors are read from the files. Raises CheckpointError unless they are exactly those of the config.
    """
    encoder, decoder = (load_state(Path(folder, f"{name}.pt")) for name in ("encoder", "decoder"))
    with torch.device("meta"):  # shapes without numbers: the tensors of the files become its own
        model = Seq2Seq(config or Seq2SeqConfig.dalle_mini())
    return fill(model, our_names(encoder, decoder), folder, assign=True)


def our_names(encoder: Tensors, decoder: Tensors) -> Tensors:
    r"""Both files under our names; what has none keeps its own, and is refused when it is loaded."""

    def renamed(tower: str, table: dict[str, str], tensors: Tensors) -> Tensors:
        return {
            ".".join([tower, *(table.get(part, part) for part in key.split("."))]): tensor
            for key, tensor in tensors.items()
        }

    tensors = renamed("encoder", ENCODER, encoder) | renamed("decoder", DECODER, decoder)
    if (logits := tensors.pop("decoder.lm_head.weight", None)) is not None:
        tensors["head.weight"] = logits[:-1]  # the last row is that of "nothing yet"
    return tensors
