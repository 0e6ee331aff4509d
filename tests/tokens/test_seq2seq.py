r"""The transformer against a second one written as plain formulas, and what it may and may not see."""

import math

import pytest
import torch
import torch.nn.functional as F

from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig
from tests.shake import shake

CONFIG = Seq2SeqConfig(
    text_vocab=13, text_length=6, text_end=12, codes=11, places=9, width=12, heads=3, ff_width=20, text_layers=2,
    picture_layers=2,
)  # fmt: skip
PROMPTS = torch.tensor([[11, 3, 4, 5, 12, 12], [11, 7, 12, 12, 12, 12]])
EXACT = {"rtol": 0, "atol": 1e-12}  # in float64, in which two ways of one sum differ by 1e-14


@pytest.fixture
def model():
    return shake(Seq2Seq(CONFIG)).double()


@pytest.fixture
def ids():
    return torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(0))


def formulas(model: Seq2Seq, words: list[int], ids: list[int]) -> torch.Tensor:
    r"""Logits `n K` of one picture of one prompt without padding, head by head, from the state dict alone."""
    w, c = model.state_dict(), model.config

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-5)

    def attention(name, x, context, mask):
        q, k, v = (y @ w[f"{name}.to_{z}.weight"].T for z, y in (("q", x), ("k", context), ("v", context)))
        heads = []
        for part in torch.arange(c.width).chunk(c.heads):
            scores = q[:, part] @ k[:, part].T / math.sqrt(len(part)) + mask
            heads.append(scores.exp() / scores.exp().sum(dim=1, keepdim=True) @ v[:, part])
        return torch.cat(heads, dim=1) @ w[f"{name}.to_out.weight"].T

    def glu(name, x):
        x = norm(name + ".norm", x)
        gate, value = x @ w[name + ".gate.weight"].T, x @ w[name + ".value.weight"].T
        x = gate * (1 + torch.erf(gate / math.sqrt(2))) / 2 * value
        return norm(name + ".inner_norm", x) @ w[name + ".out.weight"].T

    def embed(tower, tokens):
        vectors = w[tower + ".token_embedding.weight"][tokens] + w[tower + ".position_embedding.weight"][: len(tokens)]
        return norm(tower + ".embedding_norm", vectors)

    x = embed("encoder", words)
    for layer in (f"encoder.layers.{i}" for i in range(c.text_layers)):
        h = norm(layer + ".norm", x)
        x = x + norm(layer + ".post_norm", attention(layer + ".attn", h, h, torch.zeros(1)))
        x = x + glu(layer + ".ff", x)
    context = norm("encoder.final_norm", x)

    x = embed("decoder", [c.codes, *ids[:-1]])
    past = torch.tensor([[0.0 if j <= i else -math.inf for j in range(len(ids))] for i in range(len(ids))])
    for layer in (f"decoder.layers.{i}" for i in range(c.picture_layers)):
        h = norm(layer + ".norm1", x)
        x = x + norm(layer + ".post_norm1", attention(layer + ".attn1", h, h, past))
        h = norm(layer + ".norm2", x)
        x = x + norm(layer + ".post_norm2", attention(layer + ".attn2", h, context, torch.zeros(1)))
        x = x + glu(layer + ".ff", x)
    return norm("decoder.final_norm", x) @ w["head.weight"].T


def test_it_computes_what_the_formulas_say(model, ids):
    logits = model(PROMPTS, ids)
    for i, words in enumerate(([11, 3, 4, 5, 12], [11, 7, 12])):  # the end belongs to a prompt, what follows does not
        torch.testing.assert_close(logits[i], formulas(model, words, ids[i].tolist()), **EXACT)


def test_with_a_cache_every_place_gets_the_logits_that_it_gets_without(model, ids):
    expected = model(PROMPTS, ids)
    for _ in range(2):  # a second picture finds no trace of the first
        cache, new = model.start(PROMPTS), torch.full((2, 1), model.bos)
        for i in range(9):
            logits, cache = model.step(new, cache)
            torch.testing.assert_close(logits[:, 0], expected[:, i], **EXACT)
            new = ids[:, i : i + 1]


def test_one_beginning_can_have_two_ends(model, ids):
    beginning = torch.cat([torch.full((2, 1), model.bos), ids[:, :4]], dim=1)
    _, cache = model.step(beginning, model.start(PROMPTS))
    for end in (3, 8):
        logits, _ = model.step(torch.full((2, 1), end), cache)
        whole = torch.cat([ids[:, :4], torch.full((2, 1), end), ids[:, :1]], dim=1)
        torch.testing.assert_close(logits[:, 0], model(PROMPTS, whole)[:, 5], **EXACT)


@pytest.mark.parametrize("i", range(9))
def test_nothing_leaks_from_the_future(model, ids, i):
    changed = ids.clone()
    changed[:, i:] = (changed[:, i:] + 1) % 11
    before, after = model(PROMPTS, ids), model(PROMPTS, changed)
    assert torch.equal(before[:, : i + 1], after[:, : i + 1])  # row i is asked for token i, which it must not know
    assert (before[:, i + 1 :] != after[:, i + 1 :]).any(dim=2).all()


def test_padding_is_not_looked_at_and_every_word_is(model, ids):
    logits = model(PROMPTS, ids)
    other = PROMPTS.clone()
    other[0, 5], other[1, 3:] = 2, torch.tensor([9, 12, 1])
    assert torch.equal(model(other, ids), logits)
    context, _ = model.encode(PROMPTS)
    for place in range(4):
        other = PROMPTS.clone()
        other[0, place] = 6
        assert (model(other, ids)[0] != logits[0]).any(dim=1).all()
        assert (model.encode(other)[0][0, :5] != context[0, :5]).any(dim=1).all()  # also the words before it


def test_more_tokens_than_places_and_several_behind_others_are_refused(model, ids):
    with pytest.raises(ValueError, match="at most 9 tokens, got 10"):
        model.step(torch.zeros(2, 10, dtype=torch.long), model.start(PROMPTS))
    with pytest.raises(ValueError, match="at most 6 tokens, got 7"):
        model.start(torch.zeros(2, 7, dtype=torch.long))
    _, cache = model.step(ids[:, :2], model.start(PROMPTS))
    with pytest.raises(ValueError, match="causal attention of 2 queries over 4 keys"):
        model.step(ids[:, 2:4], cache)
    with pytest.raises(ValueError, match="must be divisible by 4 heads, got 10"):
        Seq2SeqConfig(width=10, heads=4)


def test_dalle_mini_has_as_many_parameters_as_its_docstring_says():
    with torch.device("meta"):
        full = Seq2Seq(Seq2SeqConfig.dalle_mini())
    # Counted by hand: 4 d^2 an attention, 3 d f a feed-forward, 2 d or 2 f a LayerNorm.
    d, f = 1024, 2730
    ff = 3 * d * f + 2 * d + 2 * f
    encoder = (50264 + 64) * d + 12 * (4 * d * d + 4 * d + ff) + 4 * d
    decoder = (16385 + 256) * d + 12 * (8 * d * d + 8 * d + ff) + 4 * d
    assert sum(p.numel() for p in full.parameters()) == encoder + decoder + 16384 * d == 437_961_696
