r"""What each flag does to the words."""

import pytest

from minidiffusion.prompt.conditions import HOUSE_STYLE, forget, names_style, weighted_texts
from minidiffusion.prompt.parser import parse


def steered(text, seed=0, seen=()):
    return weighted_texts(parse(text), seed, seen)


def test_a_plain_prompt_is_itself():
    assert steered("a red house") == [("a red house", 1.0)]
    assert steered("a house::2 fog::-.5") == [("a house", 2.0), ("fog", -0.5)]
    assert steered("") == [("", 1.0)]


def test_chaos_forgets_words_others_for_each_seed():
    text = "a small red house by the sea at night, watercolor"
    assert forget(text, 0, 0) == text
    kept = [forget(text, 100, seed).split() for seed in range(400)]
    assert len({tuple(words) for words in kept}) > 200
    share = sum(map(len, kept)) / (400 * len(text.split()))
    assert abs(share - 0.5) < 0.03  # 4000 words: four standard errors
    for words in kept:  # what is left stands in order
        rest = iter(text.split())
        assert all(word in rest for word in words)
    assert forget(text, 100, 5) == forget(text, 100, 5)
    half = sum(len(forget(text, 50, seed).split()) for seed in range(400)) / (400 * len(text.split()))
    assert abs(half - 0.75) < 0.03


def test_chaos_takes_chinese_apart_and_never_takes_all():
    assert any(forget("夜晚海边的红色小房子", 100, seed) not in ("", "夜晚海边的红色小房子") for seed in range(5))
    assert all(forget("house", 100, seed) == "house" for seed in range(20))


@pytest.mark.parametrize(
    ("flags", "weight"),
    [("", None), ("--s 100", None), ("--s 0", None), ("--s 550", 0.5), ("--s 1000", 1.0), ("--s 1000 --raw", None)],
)
def test_the_house_style_comes_with_stylize(flags, weight):
    assert steered(f"a red house {flags}")[1:] == ([] if weight is None else [(HOUSE_STYLE, weight)])


def test_a_style_that_is_named_stands():
    for text in ("a house, watercolor", "a house in Pixel Art", "海边的房子，水彩画"):
        assert names_style(text) and len(steered(f"{text} --s 1000")) == 1
    for text in ("a house", "a pink inkwell", "a neonate"):  # ink and neon within other words
        assert not names_style(text)


def test_weird_adds_words_of_somebody_else():
    (_, (one, weight)), (_, (two, _)) = steered("a house --weird 1500", 1), steered("a house --weird 1500", 2)
    assert weight == 0.5 and one != two and one
    assert steered("a house --weird 1500", 1)[1][0] == one


def test_what_was_seen_comes_last_and_may_be_all():
    assert steered("a house", seen=[("a cat", 0.5)]) == [("a house", 1.0), ("a cat", 0.5)]
    assert steered("x.png", seen=[("a cat", 0.5)]) == [("a cat", 0.5)]


def test_all_pictures_of_a_grid_get_equally_many_prompts_of_equal_weights():
    prompt = parse("a red house::2 fog:: --chaos 80 --weird 900 --s 600")
    weights = {tuple(weight for _, weight in weighted_texts(prompt, seed)) for seed in range(10)}
    assert len(weights) == 1
