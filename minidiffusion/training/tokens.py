r"""Training the transformer of the token pipeline: which picture token comes next? (article 6.1; Dayma et al. 2021)

    picture --codebook--> id_1 ... id_64,    caption --tokenizer--> words
    loss = mean_i -log p(id_i | id_1 ... id_{i-1}, words)           in nats a token

The picture tokenizer is trained before and stays frozen, so every picture is tokenised once, before the first step.
With all K codes equally probable the loss is log K. A tenth of the captions is replaced by the empty one, which
super-conditioning needs.
"""

import math
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path

import PIL.Image
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Int
from torch import Tensor, nn

from minidiffusion.checkpoint import load_model
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.data.captioned import CaptionedPictures
from minidiffusion.images.grid import picture_sheet
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig
from minidiffusion.tokens.sampling import sample_tokens
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig

from .progress import chunks
from .task import Recipe, Task


@dataclass(frozen=True)
class TokensTraining:
    r"""The settings of the transformer's training.

    The vocabularies in `model` are replaced by those of the two tokenizers. The shipped weights were trained in
    bfloat16 (--recipe.bf16), which saves a quarter of the time on a CPU made for it, and is slow on others.
    """

    recipe: Recipe = Recipe(
        steps=4400,
        batch=64,
        lr=1e-3,
        muon=0.01,
        warmup=250,
        weight_decay=0.05,
        ema=0.999,
        save_every=500,
        sheet_every=1000,
        log_every=100,
    )
    model: Seq2SeqConfig = Seq2SeqConfig()
    caption_dropout: float = 0.1


class TokensTask(Task[Seq2Seq]):
    r"""The transformer. The folder of weights holds the trained codebook and the text tokenizer."""

    name, network = "tokens", Seq2Seq

    def __init__(self, training: TokensTraining, data: CaptionedPictures, weights: Path):
        self.tokenizer = Tokenizer.load(weights / "tokenizer.json")
        self.codebook = load_model(weights, "codebook", PictureTokenizerConfig, PictureTokenizer).to(self.device)
        self.ids = tokenise_all(self.codebook, data, self.device)
        config = replace(
            training.model,
            text_vocab=self.tokenizer.vocab_size,
            text_end=self.tokenizer.end,
            codes=self.codebook.config.codes,
            places=self.ids.shape[1],
        )
        super().__init__(training, data, weights, config)

    def words(self, captions: list[str]) -> Int[Tensor, "b m"]:
        return self.tokenizer(captions, self.config.text_length).to(self.device)

    def loss(self, model: nn.Module, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        ids = self.ids[indices].to(self.device)
        dropped = torch.rand(len(indices), generator=generator) < self.training.caption_dropout
        captions = self.data.captions(indices, generator)
        words = self.words(["" if drop else text for text, drop in zip(captions, dropped, strict=True)])
        logits = model(words, ids)
        loss = F.cross_entropy(logits.flatten(0, 1), ids.flatten())
        return loss, {"bits": loss.item() / math.log(2)}

    def sheet(self, model: Seq2Seq) -> PIL.Image.Image:
        r"""Samples for 32 captions of the data, with super-conditioning 1.5 and fixed seeds."""
        n = 32
        captions = self.data.captions(torch.arange(n) % len(self.data), torch.Generator().manual_seed(0))
        generators = [torch.Generator().manual_seed(seed) for seed in range(n)]
        *_, last = sample_tokens(model, self.words(captions), self.words([""] * n), generators, scale=1.5, top_p=0.95)
        ids = rearrange(last.ids, "n (h w) -> n h w", h=isqrt(self.config.places))
        return picture_sheet(self.codebook.decode(ids), columns=8)


@torch.no_grad()
def tokenise_all(codebook: PictureTokenizer, data: CaptionedPictures, device: torch.device) -> Int[Tensor, "n places"]:
    r"""The ids of all pictures, row by row, on the CPU."""
    one = codebook.encode(data.pictures(torch.arange(1)).to(device))
    ids = torch.empty(len(data), one.numel(), dtype=torch.long)  # at once: kept piece by piece, they split the heap
    for indices in chunks(len(data), "tokenising pictures"):
        ids[indices] = codebook.encode(data.pictures(indices).to(device)).flatten(1).cpu()
    return ids
