r"""A transformer that reads a prompt and writes a picture, one token after the other (article 6.1; Dayma et al. 2021).

    p(picture | prompt) = prod_i p(id_i | id_1 ... id_{i-1}, prompt)          (the chain rule: nothing is left out)

The encoder reads the prompt in both directions. The decoder sees the tokens written so far and, by cross-attention, the
prompt, and gives logits for the next. In training all n places are asked at once: what goes in is the picture shifted
right by one, behind a token BOS that stands for "nothing yet", and a causal mask hides from each place what follows it.

The layers are those of DALL-E Mini, no linear one with a bias. Each branch is normalised before *and* after, so that no
layer can shout down the sum that it is added to (NormFormer, Shleifer et al. 2021):

    x = x + LayerNorm(Attention(LayerNorm(x))),     x = x + W (LayerNorm(gelu(W_g h) * (W_v h))),   h = LayerNorm(x)

**The cache.** In writing, place i asks for the keys and values of all places before it, which have not changed since
they were written. `step` keeps them, so that a new token costs one place's work and not i. `forward` is the same code,
with all places in one step.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minidiffusion.attention.scaled_dot_product import scaled_dot_product


@dataclass(frozen=True)
class Seq2SeqConfig:
    r"""The shape of the transformer; the defaults are the miniature. ValueError for heads that share unevenly."""

    text_vocab: int = 1024
    text_length: int = 32
    text_end: int = 1023
    """The id that ends a prompt. What comes after the first of them is padding, and is not looked at."""
    codes: int = 4096
    """How many different tokens a picture is made of: ids 0 to codes - 1. BOS has the id `codes`."""
    places: int = 64
    width: int = 192
    heads: int = 6
    ff_width: int = 320
    text_layers: int = 2
    picture_layers: int = 3

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"{self.width} channels cannot be shared evenly by {self.heads} heads")

    @staticmethod
    def dalle_mini() -> "Seq2SeqConfig":
        r"""DALL-E Mini: 437,961,696 parameters."""
        return Seq2SeqConfig(50264, 64, 2, 16384, 256, 1024, 16, 2730, 12, 12)


class Memory(NamedTuple):
    r"""Keys and values of what was read, both `b h n d`."""

    k: Float[Tensor, "b h n d"]
    v: Float[Tensor, "b h n d"]


class Cache(NamedTuple):
    r"""What the decoder has read so far, layer by layer: of the prompt, all; of the picture, the tokens before."""

    prompt: list[Memory]
    seen: Bool[Tensor, "b m"]
    """Which tokens of the prompt are words, and not padding."""
    picture: list[Memory]


class Attention(nn.Module):
    r"""Multi-head attention without biases, in two halves: what is read is kept, and looked at later."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def read(self, x: Float[Tensor, "b n c"]) -> Memory:
        return Memory(self.split_heads(self.to_k(x)), self.split_heads(self.to_v(x)))

    def forward(
        self,
        x: Float[Tensor, "b m c"],
        memory: Memory,
        *,
        causal: bool = False,
        seen: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b m c"]:
        q = self.split_heads(self.to_q(x))
        if seen is None:
            heads = scaled_dot_product(q, *memory, causal=causal)
        else:  # our kernel knows no padding; prompts are short
            heads = F.scaled_dot_product_attention(q, *memory, attn_mask=seen[:, None, None, :])
        return self.to_out(rearrange(heads, "b h m d -> b m (h d)"))

    def split_heads(self, x: Float[Tensor, "b n hd"]) -> Float[Tensor, "b h n d"]:
        return rearrange(x, "b n (h d) -> b h n d", h=self.heads)


class GLU(nn.Module):
    r"""The feed-forward branch: a gated linear unit with a LayerNorm before it and one inside. `b n c -> b n c`."""

    def __init__(self, width: int, ff_width: int):
        super().__init__()
        self.norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(ff_width)
        self.gate, self.value = (nn.Linear(width, ff_width, bias=False) for _ in range(2))
        self.out = nn.Linear(ff_width, width, bias=False)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        x = self.norm(x)
        return self.out(self.inner_norm(F.gelu(self.gate(x)) * self.value(x)))


class EncoderLayer(nn.Module):
    r"""Self-attention in both directions over the words that are there, and the feed-forward branch."""

    def __init__(self, config: Seq2SeqConfig):
        super().__init__()
        self.norm, self.post_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attn = Attention(config.width, config.heads)
        self.ff = GLU(config.width, config.ff_width)

    def forward(self, x: Float[Tensor, "b m c"], seen: Bool[Tensor, "b m"]) -> Float[Tensor, "b m c"]:
        h = self.norm(x)
        x = x + self.post_norm(self.attn(h, self.attn.read(h), seen=seen))
        return x + self.ff(x)


class DecoderLayer(nn.Module):
    r"""Causal self-attention, cross-attention to the prompt, and the feed-forward branch.

    x: `b n c`, the places that are new. Returns them, and the memory of the picture that now has them in it.
    """

    def __init__(self, config: Seq2SeqConfig):
        super().__init__()
        self.norm1, self.post_norm1 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attn1 = Attention(config.width, config.heads)
        self.norm2, self.post_norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attn2 = Attention(config.width, config.heads)
        self.ff = GLU(config.width, config.ff_width)

    def forward(
        self, x: Float[Tensor, "b n c"], prompt: Memory, seen: Bool[Tensor, "b m"], picture: Memory
    ) -> tuple[Float[Tensor, "b n c"], Memory]:
        h = self.norm1(x)
        picture = Memory(*(torch.cat(parts, dim=2) for parts in zip(picture, self.attn1.read(h), strict=True)))
        x = x + self.post_norm1(self.attn1(h, picture, causal=x.shape[1] > 1))  # one new place may look at everything
        x = x + self.post_norm2(self.attn2(self.norm2(x), prompt, seen=seen))
        return x + self.ff(x), picture


class Tower(nn.Module):
    r"""What encoder and decoder share: embeddings of tokens and places, layers, and a last LayerNorm."""

    def __init__(self, tokens: int, places: int, layers: list[nn.Module], width: int):
        super().__init__()
        self.token_embedding = nn.Embedding(tokens, width)
        self.position_embedding = nn.Embedding(places, width)
        self.embedding_norm, self.final_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.layers = nn.ModuleList(layers)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def embed(self, ids: Int[Tensor, "b n"], first: int = 0) -> Float[Tensor, "b n c"]:
        r"""Vectors of tokens that stand at the places first, first + 1, ... Raises ValueError if there are too few."""
        places, last = self.position_embedding.weight, first + ids.shape[1]
        if last > len(places):
            raise ValueError(f"there are {len(places)} places, but tokens for {last}")
        return self.embedding_norm(self.token_embedding(ids) + places[first:last])


class Seq2Seq(nn.Module):
    r"""From the ids of a prompt to logits for each token of a picture. `b m`, `b n` -> `b n K`.

    There is no logit for BOS: it can be read, never written.
    """

    def __init__(self, config: Seq2SeqConfig):
        super().__init__()
        self.config = config
        encoder: list[nn.Module] = [EncoderLayer(config) for _ in range(config.text_layers)]
        decoder: list[nn.Module] = [DecoderLayer(config) for _ in range(config.picture_layers)]
        self.encoder = Tower(config.text_vocab, config.text_length, encoder, config.width)
        self.decoder = Tower(config.codes + 1, config.places, decoder, config.width)
        self.head = nn.Linear(config.width, config.codes, bias=False)

    @property
    def bos(self) -> int:
        r"""The id K: nothing is written yet."""
        return self.config.codes

    def forward(self, text_ids: Int[Tensor, "b m"], picture_ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n K"]:
        r"""Logits of each token, given the prompt and the tokens before it: row i knows nothing of id i and later."""
        shifted = F.pad(picture_ids[:, :-1], (1, 0), value=self.bos)
        return self.step(shifted, self.start(text_ids))[0]

    def encode(self, text_ids: Int[Tensor, "b m"]) -> tuple[Float[Tensor, "b m c"], Bool[Tensor, "b m"]]:
        r"""A vector for each token of the prompt, and which of them are no padding."""
        end = (text_ids == self.config.text_end).long()
        seen = end.cumsum(dim=1) == end  # no end before it: so the first end is still a part of the prompt
        x = self.encoder.embed(text_ids)
        for layer in self.encoder.layers:
            x = layer(x, seen)
        return self.encoder.final_norm(x), seen

    def start(self, text_ids: Int[Tensor, "b m"]) -> Cache:
        r"""A cache in which the prompt is read and nothing is written."""
        context, seen = self.encode(text_ids)
        prompt, picture = [], []
        for layer in self.decoder.layers:
            assert isinstance(layer, DecoderLayer)
            k, v = layer.attn2.read(context)
            prompt.append(Memory(k, v))
            picture.append(Memory(k[:, :, :0], v[:, :, :0]))
        return Cache(prompt, seen, picture)

    def step(self, ids: Int[Tensor, "b n"], cache: Cache) -> tuple[Float[Tensor, "b n K"], Cache]:
        r"""Read the next n tokens (the first of all is BOS); logits for the ones after them, and a new cache.

        The old cache stays as it was, so two ends can be written to one beginning. Raises ValueError for more tokens
        than places, and for several at once where there are some already: one at a time, then.
        """
        x = self.decoder.embed(ids, first=cache.picture[0].k.shape[2])
        picture = []
        for layer, prompt, memory in zip(self.decoder.layers, cache.prompt, cache.picture, strict=True):
            x, memory = layer(x, prompt, cache.seen, memory)
            picture.append(memory)
        return self.head(self.decoder.final_norm(x)), cache._replace(picture=picture)
