r"""Where did it look? The maps are those of the drawing itself, and lie on the things that the words name."""

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from minidiffusion.actions.vary import vary
from minidiffusion.images.record import Picture, Record
from minidiffusion.pipelines.cross_attention_maps import cross_attention_maps, spans, watched
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from tests.tiny import tiny_model

QUICK = SamplingSettings(steps=3)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


SIZE = (64, 48)  # of the picture; 8 x 6 of the latents, 4 x 3 where there is attention
PROMPT = "a small red house"


def by_hand(model, seed):
    r"""Per token, `n 6 8`, in float64, from the queries and keys of each cross-attention in each step."""
    caught, hooks, maps = {}, [], []
    layers = {name: layer for name, layer in model.unet.named_modules() if name.endswith("attn2")}
    for name, layer in layers.items():
        for which in ("to_q", "to_k"):

            def keep(_, __, y, key=(name, which)):
                caught[key] = y[1].double().numpy()  # row 0 is without the prompt

            hooks.append(getattr(layer, which).register_forward_hook(keep))
    for _ in model.sample(PROMPT, [seed], steps=3, size=SIZE):
        for name, layer in layers.items():
            q, k = (np.split(caught[name, which], layer.heads, axis=1) for which in ("to_q", "to_k"))
            for q_i, k_i in zip(q, k, strict=True):
                p = np.exp(q_i @ k_i.T / np.sqrt(q_i.shape[1]))
                p = (p / p.sum(axis=1, keepdims=True)).T.reshape(-1, 3, 4)
                maps.append(np.kron(p, np.ones((2, 2))))
    for hook in hooks:
        hook.remove()
    return np.mean(maps, axis=0)


def test_maps_are_the_softmax_of_queries_and_keys_averaged(model):
    (picture,) = model.imagine(PROMPT, [7], QUICK, size=SIZE)
    expected = by_hand(model, 7)
    assert expected.std(axis=(1, 2)).max() > 1e-4  # else places could be mixed up unseen
    _, looked = watched(model, picture.record)
    np.testing.assert_allclose(looked.numpy(), expected, rtol=1e-5)  # float32 against float64
    words = cross_attention_maps(model, picture)
    assert [word for word, _ in words] == PROMPT.split()
    start = 1
    for word, map_ in words:
        stop = start + len(model.tokenizer.encode(word))
        np.testing.assert_allclose(map_, expected[start:stop].sum(0), rtol=1e-5)
        start = stop


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_what_a_place_looks_at_adds_up_to_1(model, guidance):
    (picture,) = model.imagine("a red house", [0], SamplingSettings(3, guidance))
    _, looked = watched(model, picture.record)
    torch.testing.assert_close(looked.sum(0), torch.ones_like(looked[0]))


def test_with_guidance_or_without_it_is_the_prompt_that_was_looked_at(model):
    (plain,), (guided,) = (model.imagine("a red house", [0], SamplingSettings(1, guidance)) for guidance in (1.0, 2.5))
    torch.testing.assert_close(watched(model, plain.record)[1], watched(model, guided.record)[1])  # one step, one x_T


def test_keys_that_are_all_the_same_are_looked_at_equally_everywhere():
    model = tiny_model()
    for name, tensor in model.unet.named_parameters():
        if name.endswith("attn2.to_k.weight"):
            tensor.data.zero_()
    (picture,) = model.imagine("a zebra", [0], QUICK)  # spelt in letters, for the tokenizer has never read it
    for word, map_ in cross_attention_maps(model, picture):
        share = len(model.tokenizer.encode(word)) / model.context_length
        np.testing.assert_allclose(map_, np.full_like(map_, share), rtol=1e-6)
    assert len(model.tokenizer.encode("zebra")) > 2


@pytest.mark.parametrize("flags", ["", " --ar 2:1", " --no cat --tile --stop 60", " --chaos 80 --q 2"])
def test_watching_changes_nothing_and_leaves_nothing(model, flags):
    (picture,) = model.imagine("a small red house by the sea" + flags, [3], QUICK)
    drawn, looked = watched(model, picture.record)
    assert drawn.image.tobytes() == picture.image.tobytes() and drawn.record == picture.record
    width, height = picture.image.size
    f = model.vae.config.downsampling
    assert looked.shape == (model.context_length, height // f, width // f)
    assert not any(module._forward_hooks for module in model.unet.modules())


def test_the_words_are_those_that_chaos_has_left(model):
    prompt = "a small red house by the sea"
    (picture,) = model.imagine(prompt + " --chaos 100", [1], QUICK)
    words = [word for word, _ in cross_attention_maps(model, picture)]
    assert 0 < len(words) < 7 and set(words) < set(prompt.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A red house, by the sea!", ["a", "red", "house", "by", "the", "sea"]),
        ("夜晚海边的红色小房子，水彩画", ["夜晚", "海边", "的", "红色", "小", "房子", "水彩画"]),
        ("北极光下的龙", ["北极光下", "的", "龙"]),  # the longest that is known, and one that is not
        ("红色 house", ["红色", "house"]),
        ("... ，", []),
    ],
)
def test_tokens_are_joined_to_words(model, text, words):
    found, ids = spans(model.tokenizer, text, 77), model.tokenizer([text], 77)[0]
    assert [word for word, _ in found] == words
    for word, span in found:
        assert model.tokenizer.decode(ids[span].tolist()).replace(" ", "") == word


def test_what_was_too_long_to_be_read_was_not_looked_at(model):
    text = "red " * 30
    length = model.context_length
    found, ids = spans(model.tokenizer, text, length), model.tokenizer([text], length)[0]
    assert len(found) == length - 2 and ids[found[-1][1].stop] == model.tokenizer.end


@pytest.mark.parametrize("prompt", ["", "a house::2 a cat", "a house --stylize 500", "a house --weird 300"])
def test_more_than_one_prompt_is_refused_and_so_is_none(model, prompt):
    (picture,) = model.imagine(prompt, [0], QUICK)
    with pytest.raises(ValueError, match="for one text alone"):
        cross_attention_maps(model, picture)


@pytest.mark.parametrize("prompt", ["cat.png a house", "a house --sref cat.png"])
def test_a_prompt_that_looked_at_pictures_is_refused(model, prompt):
    looked = Picture(PIL.Image.new("RGB", (16, 16)), None)
    (picture,) = model.imagine(prompt, [0], QUICK, pictures=[looked])
    with pytest.raises(ValueError, match="no pictures"):
        cross_attention_maps(model, picture)


def test_only_a_new_picture_of_these_weights_will_do(model):
    (picture,) = model.imagine("a house", [0], QUICK)
    (other,) = vary(model, picture, [0], settings=QUICK)
    for wrong in (other, Picture(picture.image, None)):
        with pytest.raises(ValueError, match="that imagine made, and for no other"):
            cross_attention_maps(model, wrong)
    with pytest.raises(ValueError, match="other weights"):
        cross_attention_maps(model, picture._replace(record=replace(picture.record, weights="f" * 64)))


def test_the_map_of_the_subject_lies_on_the_side_where_the_subject_is():
    r"""With the shipped weights. Wrong maps would lean to either side by chance; 11 of 12 or more has p = 0.003."""
    model, right = TextToImage.load("picturebook"), 0
    subjects = ("house", "castle", "tree", "boat", "car", "balloon")
    for i, (subject, side) in enumerate((subject, side) for subject in subjects for side in ("left", "right")):
        prompt = f"a small red {subject} on the {side}, in the snow by day"
        record = Record("imagine", prompt, i, 8, 2.5, "dpm++", 64, 64, model.weights_hash, "")
        map_ = dict(cross_attention_maps(model, Picture(PIL.Image.new("RGB", (64, 64)), record)))[subject]
        leans = (map_.sum(axis=0) @ np.arange(-3.5, 4)) / map_.sum()
        right += (leans > 0) == (side == "right")
    assert right >= 11
