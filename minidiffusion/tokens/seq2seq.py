r"""An encoder-decoder transformer from the tokens of a prompt to those of a picture (article 6.1; Dayma et al. 2021).

    p(picture | prompt) = prod_i p(id_i | id_1 ... id_{i-1}, prompt)          (the chain rule, exact)

The encoder attends over the prompt in both directions. The decoder attends to the tokens so far and, by
cross-attention, to the prompt, and returns logits for the next token. Training computes all n positions at once: the
input is the picture shifted right by one, behind a token BOS, and a causal mask hides from each position what follows.

The layers are those of DALL-E Mini, no linear one with a bias. Each branch is normalised before *and* after, so that
none dominates the sum that it is added to (NormFormer, Shleifer et al. 2021):

    x = x + LayerNorm(Attention(LayerNorm(x))),     x = x + W (LayerNorm(gelu(W_g h) * (W_v h))),   h = LayerNorm(x)

**The key-value cache.** In generation, position i needs the keys and values of all positions before it, which do not
change. `step` keeps them, so that a new token costs the computation of one position, not i. `forward` is the same code,
with all positions in one step.
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
    r"""The shape of the transformer; the defaults are the miniature.

    Raises ValueError unless `width` is divisible by `heads`.
    """

    text_vocab: int = 1024
    text_length: int = 32
    text_end: int = 1023
    """The id that ends a prompt. What comes after the first of them is padding, and is masked."""
    codes: int = 4096
    """The number of different picture tokens, ids 0 to codes - 1. BOS has the id `codes`."""
    places: int = 64
    """The number of tokens of a picture."""
    width: int = 192
    heads: int = 6
    ff_width: int = 320
    text_layers: int = 2
    picture_layers: int = 3

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"the channels must be divisible by {self.heads} heads, got {self.width}")

    @staticmethod
    def dalle_mini() -> "Seq2SeqConfig":
        r"""DALL-E Mini: 437,961,696 parameters."""
        return Seq2SeqConfig(50264, 64, 2, 16384, 256, 1024, 16, 2730, 12, 12)


class KeysValues(NamedTuple):
    r"""Keys and values of n tokens, both `b h n d`."""

    k: Float[Tensor, "b h n d"]
    v: Float[Tensor, "b h n d"]


class Cache(NamedTuple):
    r"""The key-value cache of each decoder layer: of the whole prompt, and of the picture's tokens so far."""

    prompt: list[KeysValues]
    mask: Bool[Tensor, "b m"]
    """False for the padding of the prompt."""
    picture: list[KeysValues]


class Attention(nn.Module):
    r"""Multi-head attention without biases, whose keys and values are computed apart, so that they can be kept."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def keys_values(self, x: Float[Tensor, "b n c"]) -> KeysValues:
        return KeysValues(self.split_heads(self.to_k(x)), self.split_heads(self.to_v(x)))

    def forward(
        self,
        x: Float[Tensor, "b m c"],
        keys_values: KeysValues,
        *,
        causal: bool = False,
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b m c"]:
        q = self.split_heads(self.to_q(x))
        if mask is None:
            heads = scaled_dot_product(q, *keys_values, causal=causal)
        else:  # our kernel takes no padding mask; prompts are short
            heads = F.scaled_dot_product_attention(q, *keys_values, attn_mask=mask[:, None, None, :])
        return self.to_out(rearrange(heads, "b h m d -> b m (h d)"))

    def split_heads(self, x: Float[Tensor, "b n hd"]) -> Float[Tensor, "b h n d"]:
        return rearrange(x, "b n (h d) -> b h n d", h=self.heads)


class GLU(nn.Module):
    r"""The feed-forward branch: a gated linear unit with a LayerNorm before it and one inside. `b n c -> b n c`."""

    def __init__(self, width: int, ff_width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner_norm = nn.LayerNorm(ff_width)
        self.gate = nn.Linear(width, ff_width, bias=False)
        self.value = nn.Linear(width, ff_width, bias=False)
        self.out = nn.Linear(ff_width, width, bias=False)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        x = self.norm(x)
        return self.out(self.inner_norm(F.gelu(self.gate(x)) * self.value(x)))


class EncoderLayer(nn.Module):
    r"""Self-attention in both directions, without the padding, and the feed-forward branch."""

    def __init__(self, config: Seq2SeqConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.post_norm = nn.LayerNorm(config.width)
        self.attn = Attention(config.width, config.heads)
        self.ff = GLU(config.width, config.ff_width)

    def forward(self, x: Float[Tensor, "b m c"], mask: Bool[Tensor, "b m"]) -> Float[Tensor, "b m c"]:
        h = self.norm(x)
        x = x + self.post_norm(self.attn(h, self.attn.keys_values(h), mask=mask))
        return x + self.ff(x)


class DecoderLayer(nn.Module):
    r"""Causal self-attention, cross-attention to the prompt, and the feed-forward branch.

    x: `b n c`, the new positions. Returns their outputs, and the keys and values of the picture with theirs appended.
    """

    def __init__(self, config: Seq2SeqConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.post_norm1 = nn.LayerNorm(config.width)
        self.attn1 = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width)
        self.post_norm2 = nn.LayerNorm(config.width)
        self.attn2 = Attention(config.width, config.heads)
        self.ff = GLU(config.width, config.ff_width)

    def forward(
        self, x: Float[Tensor, "b n c"], prompt: KeysValues, mask: Bool[Tensor, "b m"], picture: KeysValues
    ) -> tuple[Float[Tensor, "b n c"], KeysValues]:
        h = self.norm1(x)
        k, v = self.attn1.keys_values(h)
        picture = KeysValues(torch.cat([picture.k, k], dim=2), torch.cat([picture.v, v], dim=2))
        x = x + self.post_norm1(self.attn1(h, picture, causal=x.shape[1] > 1))  # a single new position attends to all
        x = x + self.post_norm2(self.attn2(self.norm2(x), prompt, mask=mask))
        return x + self.ff(x), picture


class LayerStack(nn.Module):
    r"""The parts that encoder and decoder have in common: embeddings of tokens and positions, layers, a LayerNorm."""

    def __init__(self, tokens: int, places: int, layers: list[nn.Module], width: int):
        super().__init__()
        self.token_embedding = nn.Embedding(tokens, width)
        self.position_embedding = nn.Embedding(places, width)
        self.embedding_norm = nn.LayerNorm(width)
        self.final_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(layers)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def embed(self, ids: Int[Tensor, "b n"], first: int = 0) -> Float[Tensor, "b n c"]:
        r"""Embeddings of tokens at the positions first, first + 1, ... Raises ValueError if there are too few."""
        places, last = self.position_embedding.weight, first + ids.shape[1]
        if last > len(places):
            raise ValueError(f"there must be at most {len(places)} tokens, got {last}")
        return self.embedding_norm(self.token_embedding(ids) + places[first:last])


class Seq2Seq(nn.Module):
    r"""From the ids of a prompt to logits for each token of a picture. `b m`, `b n` -> `b n K`.

    There is no logit for BOS, which is only an input.
    """

    def __init__(self, config: Seq2SeqConfig):
        super().__init__()
        self.config = config
        encoder: list[nn.Module] = [EncoderLayer(config) for _ in range(config.text_layers)]
        decoder: list[nn.Module] = [DecoderLayer(config) for _ in range(config.picture_layers)]
        self.encoder = LayerStack(config.text_vocab, config.text_length, encoder, config.width)
        self.decoder = LayerStack(config.codes + 1, config.places, decoder, config.width)
        self.head = nn.Linear(config.width, config.codes, bias=False)

    @property
    def bos(self) -> int:
        r"""The id K of the token before the first."""
        return self.config.codes

    def forward(self, text_ids: Int[Tensor, "b m"], picture_ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n K"]:
        r"""Logits of each token, given the prompt and the tokens before it: row i depends on no id from i on."""
        shifted = F.pad(picture_ids[:, :-1], (1, 0), value=self.bos)
        return self.step(shifted, self.start(text_ids))[0]

    def encode(self, text_ids: Int[Tensor, "b m"]) -> tuple[Float[Tensor, "b m c"], Bool[Tensor, "b m"]]:
        r"""A vector for each token of the prompt, and the mask of the prompt: False for padding."""
        end = (text_ids == self.config.text_end).long()
        mask = end.cumsum(dim=1) == end  # True up to the first end, which is a part of the prompt
        x = self.encoder.embed(text_ids)
        for layer in self.encoder.layers:
            x = layer(x, mask)
        return self.encoder.final_norm(x), mask

    def start(self, text_ids: Int[Tensor, "b m"]) -> Cache:
        r"""The cache after the prompt, before any token of the picture."""
        context, mask = self.encode(text_ids)
        prompt, picture = [], []
        for layer in self.decoder.layers:
            assert isinstance(layer, DecoderLayer)
            k, v = layer.attn2.keys_values(context)
            prompt.append(KeysValues(k, v))
            picture.append(KeysValues(k[:, :, :0], v[:, :, :0]))
        return Cache(prompt, mask, picture)

    def step(self, ids: Int[Tensor, "b n"], cache: Cache) -> tuple[Float[Tensor, "b n K"], Cache]:
        r"""From the next n tokens (the very first is BOS) the logits of the tokens after them, and the new cache.

        The old cache is not changed, so one beginning can be continued in two ways. Raises ValueError for more tokens
        than positions, and for several tokens at once unless the cache of the picture is empty.
        """
        x = self.decoder.embed(ids, first=cache.picture[0].k.shape[2])
        picture = []
        for layer, prompt, before in zip(self.decoder.layers, cache.prompt, cache.picture, strict=True):
            x, after = layer(x, prompt, cache.mask, before)
            picture.append(after)
        return self.head(self.decoder.final_norm(x)), cache._replace(picture=picture)
