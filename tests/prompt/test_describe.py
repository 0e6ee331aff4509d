r"""From pictures to words. This network has learnt nothing: what counts is that the search finds what CLIP likes."""

import re

import PIL.Image
import pytest
import torch

from minidiffusion.picturebook.captions import LEXICON
from minidiffusion.picturebook.scene import ATTRIBUTES, STYLES
from minidiffusion.prompt.describe import describe, embed, look, shorten, style_of
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def image():
    pixels = (torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(2)) * 255).byte()
    return PIL.Image.fromarray(pixels.numpy())


def test_no_other_single_word_would_be_nearer(model, image):
    r"""A caption states attributes in a fixed order of words; take the best caption apart and try all of them."""
    found, picture = describe(model, image), look(model, image)
    assert 1 <= len(found) <= 3 and len(set(found)) == len(found)
    similarities = (embed(model, found) @ picture).tolist()
    assert similarities == sorted(similarities, reverse=True)
    best = similarities[0] + 1e-6
    for name, choices in ATTRIBUTES.items():
        mine = [LEXICON[name][value]["en"][0] for value in choices]
        (here,) = [word for word in mine if re.search(rf"(?<!\w){word}(?!\w)", found[0])]
        others = [re.sub(rf"(?<!\w){here}(?!\w)", word, found[0]) for word in mine]
        assert max((embed(model, others) @ picture).tolist()) <= best, name


def test_the_words_are_those_of_the_language(model, image):
    english, chinese = describe(model, image), describe(model, image, "zh")
    assert len(english) == len(chinese) and english[0].isascii() and not chinese[0].isascii()
    assert style_of(model, image) in english[0] and any(style in style_of(model, image) for style in STYLES)


def test_of_a_wide_picture_the_middle_is_looked_at(model, image):
    wide = PIL.Image.new("RGB", (48, 16), "red")
    wide.paste(image, (16, 0))
    torch.testing.assert_close(look(model, wide), look(model, image))
    assert not torch.allclose(look(model, PIL.Image.new("RGB", (48, 16), "red")), look(model, image))


def test_what_a_word_weighs_is_how_far_its_loss_turns_the_text(model):
    words = shorten(model, "a red house by the sea")
    assert [word for word, _ in words] == ["a", "red", "house", "by", "the", "sea"]
    whole, without = embed(model, ["a red house by the sea", "a house by the sea"])
    assert words[1][1] == pytest.approx(1 - (whole @ without).item(), abs=1e-5)
    assert shorten(model, "") == []


def test_a_model_without_eyes_says_so(model, image):
    blind = type(model)(model.tokenizer, model.text_model, model.unet, model.vae, **model.training_noise, size=16)
    with pytest.raises(ValueError, match="needs a whole CLIP"):
        describe(blind, image)
