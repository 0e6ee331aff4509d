r"""A whole model that writes tokens in a fraction of a second: random in every tensor. Its pictures mean nothing."""

from pathlib import Path

import torch

from minidiffusion.checkpoint import save_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.pipelines.token_to_image import TokenPipeline
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig
from tests.shake import shake
from tests.tiny import CAPTIONS


def tiny_token_pipeline(seed: int = 0, size: int = 16, **changes) -> TokenPipeline:
    r"""Pictures in 4 x 4 tokens. changes: of the transformer's config."""
    tokenizer = Tokenizer.train(CAPTIONS, 700)
    shape = {
        "text_vocab": tokenizer.vocab_size,
        "text_length": 12,
        "text_end": tokenizer.end,
        "codes": 32,
        "places": 16,
    }
    shape |= {"width": 16, "heads": 2, "ff_width": 24, "text_layers": 1, "picture_layers": 2}
    torch.manual_seed(seed)
    clip = CLIP(CLIPConfig(8, tokenizer.vocab_size, 24, 16, 1, 2, size, 8, 8, 1, 2))
    codebook = PictureTokenizer(PictureTokenizerConfig(32, 4, channels=(8, 8), groups=4, patch=size // 8))
    transformer = Seq2Seq(Seq2SeqConfig(**(shape | changes)))
    networks = [shake(network, seed + i) for i, network in enumerate((clip, codebook, transformer))]
    return TokenPipeline(tokenizer, *networks)


def save_token_pipeline(folder: Path, writer: TokenPipeline) -> Path:
    r"""The tokens and their codebook, as training leaves them; CLIP and tokenizer too, unless others are there."""
    parts = {"codebook": writer.codebook, "tokens": writer.transformer, "clip": writer.clip}
    for name, network in parts.items():
        if not (folder / f"{name}.json").exists():
            save_model(folder, name, network, network.config)
    if not (folder / "tokenizer.json").exists():
        writer.tokenizer.save(folder / "tokenizer.json")
    return folder
