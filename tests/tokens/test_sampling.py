r"""Writing against brute force in float64, and a transformer that learns to write what a word says."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minidiffusion.tokens.sampling import draw_token, probabilities, sample_tokens, super_condition
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig
from tests.shake import shake

CONFIG = Seq2SeqConfig(
    text_vocab=13, text_length=5, text_end=12, codes=20, places=8, width=16, heads=2, ff_width=24, text_layers=1,
    picture_layers=2,
)  # fmt: skip
PROMPT = torch.tensor([[11, 3, 4, 12, 12], [11, 7, 12, 12, 12], [11, 3, 4, 12, 12]])
EMPTY = torch.tensor([[11, 12, 12, 12, 12]] * 3)


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture
def model():
    return shake(Seq2Seq(CONFIG)).double()


def last(*args, **settings):
    *_, token = sample_tokens(*args, **settings)
    return token.ids


# ---------------------------------------------------------------------------------------------------- probabilities


def cut(p, top_k, top_p):
    r"""By hand: take the likeliest token that is left until k are taken, or they have top_p of the mass of those k."""
    order = sorted(range(len(p)), key=lambda k: -p[k])[:top_k]
    kept, mass = {}, 0.0
    for k in order:
        kept[k] = p[k]
        mass += p[k] / sum(p[j] for j in order)
        if mass >= top_p:
            break
    return [kept.get(k, 0) / sum(kept.values()) for k in range(len(p))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("top_k", [None, 1, 4, 12])
@pytest.mark.parametrize("top_p", [0.05, 0.4, 0.9, 1.0])
def test_probabilities_are_those_of_brute_force(temperature, top_k, top_p):
    logits = torch.randn(20, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = probabilities(logits, temperature, top_k, top_p)
    for row, p in zip(logits.numpy() / temperature, ours.numpy(), strict=True):
        e = np.exp(row)
        expected = cut(list(e / e.sum()), top_k, top_p)
        np.testing.assert_allclose(p, expected, rtol=2e-7, atol=0)  # a float32


def test_of_equal_tokens_exactly_k_stay():
    assert (probabilities(torch.zeros(1, 6), top_k=2) > 0).sum() == 2
    assert (probabilities(torch.zeros(1, 5), top_p=0.5) > 0).sum() == 3  # two have 0.4 together, three 0.6


def test_super_conditioning_multiplies_what_the_prompt_did():
    c, u = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p_c, p_u, p = (x.softmax(1) for x in (c, u, super_condition(c, u, 3.0)))
    expected = p_u * (p_c / p_u) ** 3
    torch.testing.assert_close(p, expected / expected.sum(1, keepdim=True))


def test_draws_have_the_frequencies_of_p_and_never_fall_on_0():
    p = torch.tensor([0.0, 0.1, 0.0, 0.6, 0.3, 0.0])
    n = 20_000
    generator = torch.Generator().manual_seed(0)
    ids = torch.cat([draw_token(p.expand(1000, 6), [generator] * 1000) for _ in range(n // 1000)])
    counts = ids.bincount(minlength=6)
    assert (counts[p == 0] == 0).all()
    assert ((counts / n - p).abs() < 4.5 * (p * (1 - p) / n).sqrt() + 1e-9).all()


def test_a_uniform_number_of_exactly_0_falls_on_no_token_of_probability_0(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.zeros(1))
    assert draw_token(torch.tensor([[0.0, 0.0, 0.2, 0.8]]), seeded(0)).item() == 2


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"temperature": 0.0}, "temperature must be greater than 0, got 0.0"),
        ({"temperature": float("nan")}, "got nan"),
        ({"top_k": 0}, "top_k must be between 1 and 20, or None for all, got 0"),
        ({"top_k": 21}, "got 21"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "got 1.1"),
        ({"given": torch.zeros(3, 8, dtype=torch.long)}, "fewer than the 8 of a picture, got 8"),
        ({"generators": seeded(0)}, "3 pictures need 3 generators, got 1"),
    ],
)
def test_wrong_settings_are_refused(model, settings, complaint):
    generators = settings.pop("generators", seeded(0, 1, 2))
    with pytest.raises(ValueError, match=complaint):
        next(sample_tokens(model, PROMPT, EMPTY, generators, **settings))


# ---------------------------------------------------------------------------------------------------- generation


def by_hand(model, prompt, empty, seed, scale, given=()):
    r"""One picture without a cache and without a batch: the whole network again for every token."""
    generator, ids, chances = torch.Generator().manual_seed(seed), list(given), []
    while len(ids) < CONFIG.places:
        row = torch.tensor([[*ids, 0]])  # the last is asked for and not seen
        with torch.no_grad():
            c, u = (model(words[None], row)[0, -1].numpy() for words in (prompt, empty))
        p = np.exp(u + scale * (c - u))
        p /= p.sum()
        ids.append(int(np.searchsorted(np.cumsum(p), torch.rand(1, generator=generator).item(), side="right")))
        chances.append(p[ids[-1]])
    return ids, chances


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("given", [0, 5])
def test_what_is_written_is_what_the_whole_network_would_write(model, scale, given):
    known = torch.randint(20, (3, given), generator=torch.Generator().manual_seed(1))
    tokens = [*sample_tokens(model, PROMPT, EMPTY, seeded(5, 6, 7), scale=scale, given=known)]
    assert [token.i for token in tokens] == [*range(given, 8)]
    for i, seed in enumerate((5, 6, 7)):
        ids, chances = by_hand(model, PROMPT[i], EMPTY[i], seed, scale, known[i].tolist())
        assert tokens[-1].ids[i].tolist() == ids
        np.testing.assert_allclose([token.probability[i] for token in tokens], chances, rtol=1e-6)
        assert tokens[0].ids[i].tolist() == ids[: given + 1]


def test_scale_0_forgets_the_prompt_and_scale_1_does_not_ask_for_another(model):
    forgetful = last(model, PROMPT, EMPTY, seeded(0, 1, 2), scale=0.0)
    assert torch.equal(forgetful, last(model, EMPTY, EMPTY, seeded(0, 1, 2)))
    plain = last(model, PROMPT, EMPTY, seeded(0, 1, 2), scale=1.0)
    assert torch.equal(plain, last(model, PROMPT, PROMPT, seeded(0, 1, 2), scale=1.0))
    assert not torch.equal(plain, forgetful)


def test_a_picture_depends_on_its_seed_and_not_on_its_neighbours(model):
    together = last(model, PROMPT, EMPTY, seeded(0, 1, 2), scale=3.0)
    alone = last(model, PROMPT[2:], EMPTY[2:], seeded(2), scale=3.0)
    assert torch.equal(together[2:], alone)
    assert not torch.equal(together[0], together[2])  # the same prompt, another seed
    assert torch.equal(together, last(model, PROMPT, EMPTY, seeded(0, 1, 2), scale=3.0))


def test_top_k_1_is_greedy(model):
    greedy = last(model, PROMPT, EMPTY, seeded(0, 1, 2), top_k=1)
    assert torch.equal(greedy, last(model, PROMPT, EMPTY, seeded(3, 4, 5), top_k=1))
    assert torch.equal(greedy, model(PROMPT, greedy).argmax(dim=2))  # each token is the likeliest after those before it


def test_it_learns_to_write_one_of_two_pictures_and_guidance_says_which_more_clearly():
    torch.manual_seed(0)
    model = Seq2Seq(CONFIG)
    words = torch.tensor([[11, 3, 12, 12, 12], [11, 7, 12, 12, 12], *EMPTY[:2].tolist()])
    pictures = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [8, 2, 3, 19, 0, 6, 7, 1]])
    targets = pictures.repeat(2, 1)  # without a word, either
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        loss = F.cross_entropy(model(words, targets).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # The words are worth one bit: ln 2 nats a picture where they are missing, in half of the pictures, over 8 tokens.
    assert loss.item() == pytest.approx(0.5 * np.log(2) / 8, abs=0.01)
    both = [*range(20)]
    drawn = last(model, words[[0, 1] * 10], words[[2, 2] * 10], seeded(*both), scale=2.0, top_p=0.9)
    assert torch.equal(drawn, pictures.repeat(10, 1))
    unconditional = last(model, words[[0, 1] * 10], words[[2, 2] * 10], seeded(*both), scale=0.0, top_p=0.9)
    assert {tuple(row) for row in unconditional.tolist()} == {tuple(row) for row in pictures.tolist()}
