r"""Which words are unknown: English, Chinese, emoji, nonsense."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidiffusion.picturebook.captions import describe, vocabulary
from minidiffusion.picturebook.scene import ATTRIBUTES, SUBJECTS, Scene
from minidiffusion.prompt.parser import parse
from minidiffusion.prompt.vocabulary import pieces, quoted, remarks, unknown_chinese, unknown_words, words_of
from tests.tiny import tiny_model


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "A small RED house, by the sea at night: watercolor!",
        "8-bit pixel art of a hot-air balloon",
        "夜晚海边的红色小房子，水彩画",
        "red 房子 ， ink",
        "... 12 ! a b",
    ],
)
def test_known_prompts_have_no_unknown_words(prompt):
    assert unknown_words(prompt) == {}


def test_every_canonical_caption_is_known():
    for name, values in ATTRIBUTES.items():
        for value in values:
            scene = Scene(**({key: choices[0] for key, choices in ATTRIBUTES.items()} | {name: value}))
            assert unknown_words(describe(scene, "en")) == unknown_words(describe(scene, "zh")) == {}


def test_unknown_words_come_in_order_with_known_words_that_look_alike():
    found = unknown_words("A hous with a ZEBRA by the see, a hous")
    assert list(found) == ["hous", "with", "zebra", "see"]
    assert found["hous"][0] == "house" and "sea" in found["see"] and found["zebra"] == []
    assert all(word in vocabulary() for near in found.values() for word in near)


def test_in_chinese_what_lies_between_the_longest_known_words_is_unknown():
    known = {"红", "红色", "粉红色", "房子", "的"}
    assert unknown_chinese("粉红色的斑马红房子大象", known) == ["斑马", "大象"]
    assert unknown_chinese("色红", known) == ["色"]
    assert unknown_chinese("色", set()) == ["色"]
    assert list(unknown_words("夜晚海边的斑马和长颈鹿")) == ["斑马和长颈鹿"]
    assert unknown_words("水彩花")["花"] == []


def test_mixed_scripts_are_taken_apart():
    assert pieces("红色cat、ＣＡＲ") == ["红色", "cat", "、", "car"]
    assert list(unknown_words("红色zebra房子")) == ["zebra"]


def test_emoji_are_words_and_punctuation_is_not():
    assert unknown_words("a red house 🙂🙂 ?! €", known={"red", "house"}) == {"🙂": []}


def test_a_long_list_of_unknown_words_is_cut():
    text = " ".join(f"zz{'abcdefghij'[i % 10]}{'abcdefghij'[i // 10]}" for i in range(50))
    assert len(unknown_words(text)) == 8 and len(unknown_words(text, most=3)) == 3


@pytest.mark.parametrize("unit", ["a", "zebra ", "红", "斑马", "🙂", "\x00", "<|endoftext|>", "\udcff"])
def test_ten_thousand_characters_take_no_time(unit):
    start = time.process_time()
    unknown_words(unit * (10_000 // len(unit)))
    assert time.process_time() - start < 2


@given(st.text())
@settings(deadline=None)
def test_any_text_can_be_asked_about(text):
    found = unknown_words(text)
    assert len(found) <= 8 and not found.keys() & vocabulary()


def test_the_words_of_a_tokenizer_are_those_of_its_captions():
    words = words_of(tiny_model().tokenizer)
    assert {"red", "house", "watercolor", "红", "画"} <= words
    assert "hou" not in words and "zebra" not in words and "<|endoftext|>" not in words
    assert list(unknown_words("a red zebra in the snow, 红马", words)) == ["zebra", "马"]


def test_what_a_model_makes_nothing_of_is_said_once_in_sentences():
    model, lost = tiny_model(), 'The text is longer than the context; not read is: "blue cat".'
    prompts = [parse("a red hous, a zebra, a yeti --no snou"), parse("the sea:: a red hous, a zebra, a yeti --no snou")]
    assert list(remarks(prompts, model, of_picturebook=False)) == [
        'Unknown word "hous"; the nearest known words: house.',
        'Unknown: "zebra", "yeti".',
        'Unknown word "snou"; the nearest known words: snow.',
    ]
    assert list(remarks(prompts, model, of_picturebook=True)) == [
        'Unknown word "hous"; the nearest known words: house.',
        f'Unknown: "zebra", "yeti"; known subjects: {", ".join(SUBJECTS)}.',
        'Unknown word "snou"; the nearest known words: snow, snowy.',
    ]
    long = [parse(" ".join(["red"] * 22 + ["blue", "cat"]))]
    assert list(remarks(long, model, of_picturebook=True)) == [lost]
    model.clip = None  # Stable Diffusion knows every word, and has an end, too
    assert list(remarks([*prompts, *long], model, of_picturebook=False)) == [lost]


def test_what_is_quoted_can_be_shown_on_a_terminal():
    assert quoted('\x1b[31m"红色') == '"\\u001b[31m\\"红色"' and quoted("a" * 100) == f'"{"a" * 60}..."'
