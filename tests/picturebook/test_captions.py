"""Captions: true, in both languages, and never saying another value of an attribute."""

from itertools import product

import numpy as np
import pytest

from minidiffusion.errors import UserError
from minidiffusion.picturebook.captions import COMPOSE, CONNECTING, LEXICON, caption, describe, vocabulary
from minidiffusion.picturebook.scene import ATTRIBUTES, Scene, random_scene
from tests.unchecked import unchecked

HOUSE = Scene("house", "red", "sea", "night", "watercolor", "small", "left")


def is_word(text: str, at: int, term: str) -> bool:
    """Whether a term found in the text is no part of a longer word, as ink is of pink."""
    around = text[at - 1 : at] + text[at + len(term) : at + len(term) + 1]
    return not any(character.isalnum() for character in around)


def read(text: str, language: str) -> dict[str, list[str]]:
    """The values that a text states, by attribute. Where several terms of the lexicon begin, the longest counts."""
    terms = {
        term: (name, value)
        for name, values in LEXICON.items()
        for value, spoken in values.items()
        for term in spoken[language]
    }
    stated: dict[str, list[str]] = {}
    at = 0
    while at < len(text):
        found = [term for term in terms if text.startswith(term, at) and (language == "zh" or is_word(text, at, term))]
        if found:
            name, value = terms[max(found, key=len)]
            stated.setdefault(name, []).append(value)
        at += len(max(found, key=len)) if found else 1
    return stated


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_caption_states_what_it_mentions_once_and_nothing_else(language: str):
    rng = np.random.default_rng(0)
    for _ in range(600):
        scene = random_scene(rng, "all")
        text, mentioned = caption(scene, rng, language)
        assert read(text, language) == {name: [getattr(scene, name)] for name in mentioned}, text


def test_the_lexicon_covers_every_value_and_no_term_means_two_things():
    for language in ("en", "zh"):
        terms = [term for values in LEXICON.values() for spoken in values.values() for term in spoken[language]]
        assert len(terms) == len(set(terms))
    assert {name: tuple(values) for name, values in LEXICON.items()} == ATTRIBUTES


def test_the_subject_is_always_mentioned_and_the_rest_as_often_as_asked():
    rng = np.random.default_rng(1)
    mentioned = [caption(HOUSE, rng).mentioned for _ in range(3000)]
    share = {name: np.mean([name in said for said in mentioned]) for name in ATTRIBUTES}
    assert share["subject"] == 1
    for name in ("colour", "place", "sky", "style"):
        assert share[name] == pytest.approx(0.85, abs=0.03)
    for name in ("size", "side"):
        assert share[name] == pytest.approx(0.55, abs=0.04)
    assert np.mean([{"colour", "place", "sky", "style"} <= said for said in mentioned]) == pytest.approx(0.52, abs=0.04)


def test_nothing_or_everything_can_be_left_out():
    rng = np.random.default_rng(2)
    assert caption(HOUSE, rng, leave_out=0.0).mentioned == set(ATTRIBUTES)
    assert caption(HOUSE, rng, leave_out=1.0).mentioned == {"subject"}


@pytest.mark.parametrize(
    ("language", "prompt", "words"),
    [
        ("en", "a red house by the sea at night, watercolor", "house red by_the_sea at_night watercolor"),
        ("en", "watercolor painting of a red house by the sea at night", "house red by_the_sea at_night watercolor"),
        ("en", "at night, the little house on the coast", "house little on_the_coast at_night"),
        ("zh", "夜晚海边的红房子，水彩", "房子 红 海边 夜晚 水彩"),
        ("zh", "夜晚海边的红色小房子，水彩画", "房子 红色 小 海边 夜晚 水彩画"),
        ("zh", "海边有一座红色的房子", "房子 红色 海边"),
    ],
)
def test_what_people_type_is_in_the_grammar(language: str, prompt: str, words: str):
    """Every sentence that can be made of these words, by giving the grammar all choices that it can draw."""
    chosen = dict.fromkeys(ATTRIBUTES, "")
    for word in (part.replace("_", " ") for part in words.split()):
        chosen[next(name for name in ATTRIBUTES if word in LEXICON[name][getattr(HOUSE, name)][language])] = word
    sixths = [(k + 0.5) / 6 for k in range(6)]
    assert prompt in {COMPOSE[language](HOUSE, chosen, iter(draws)) for draws in product(sixths, repeat=4)}


def test_a_third_to_a_half_of_the_captions_is_chinese():
    rng = np.random.default_rng(4)
    chinese = np.mean([not caption(HOUSE, rng).text.isascii() for _ in range(2000)])
    assert chinese == pytest.approx(0.4, abs=0.04)


def test_captions_of_one_scene_are_varied_and_determined_by_the_generator():
    def some(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [caption(HOUSE, rng).text for _ in range(300)]

    assert some(5) == some(5)
    assert len(set(some(5))) > 250


def test_the_full_description_says_everything_once():
    rng = np.random.default_rng(6)
    for _ in range(50):
        scene = random_scene(rng)
        for language in ("en", "zh"):
            everything = {name: [getattr(scene, name)] for name in ATTRIBUTES}
            assert read(describe(scene, language), language) == everything
    assert describe(HOUSE) == "a small red house by the sea at night, on the left, watercolor painting"


def test_the_vocabulary_has_every_word_that_a_caption_uses():
    rng = np.random.default_rng(7)
    for _ in range(600):
        words = caption(random_scene(rng), rng, "en").text.replace(",", "").split()
        assert vocabulary("en").issuperset(words)
        rest = caption(random_scene(rng), rng, "zh").text
        for term in sorted(vocabulary("zh"), key=len, reverse=True):
            rest = rest.replace(term, "")
        assert not rest.strip("，")
    assert vocabulary() == vocabulary("en") | vocabulary("zh")
    assert {"the", "watercolour"} <= vocabulary("en")
    assert set(CONNECTING["zh"]) <= vocabulary("zh")


def test_unknown_languages_and_impossible_probabilities_are_refused():
    rng = np.random.default_rng(8)
    with pytest.raises(UserError, match="language must be one of en, zh, got 'fr'"):
        unchecked(caption)(HOUSE, rng, "fr")
    with pytest.raises(UserError, match="language must be one of en, zh, got 'fr'"):
        unchecked(vocabulary)("fr")
    for leave_out in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="leave_out must be between 0 and 1"):
            caption(HOUSE, rng, leave_out=leave_out)
