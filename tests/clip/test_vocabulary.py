r"""OpenAI's real vocabulary in our tokenizer, against transformers' and against ids from OpenAI's own."""

import random
import unicodedata

import pytest
import torch

from minidiffusion.checkpoint import CheckpointError
from minidiffusion.clip import vocabulary
from minidiffusion.clip.tokenizer import Tokenizer

# What SimpleTokenizer of openai/CLIP (in clip-anytorch 2.6.0, with ftfy 6.3.1) gives. The first ones need no mending.
GOLDEN = {
    "": [],
    "   ": [],
    "Hello, World!": [3306, 267, 1002, 256],
    "it's I'LL don't y'all's": [585, 568, 328, 1342, 847, 713, 344, 262, 615, 568],
    "'since": [568, 44303],
    "wait...!'s": [1885, 3002, 13222, 338],
    "1984 x² ½ Ⅷ": [272, 280, 279, 275, 343, 41175, 33613, 158, 227, 371],
    "snake_case": [8798, 318, 2068],
    "café": [15304],
    "café": [15304],
    "红色的房子": [163, 118, 95, 164, 231, 110, 163, 248, 226, 162, 230, 123, 35751, 494],
    "夜晚海边": [23170, 250, 48132, 248, 162, 113, 115, 164, 122, 373],
    "\U0001f642\U0001f643\U0001f469\u200d\U0001f469\u200d\U0001f467": [32006, 27222, 26304, 26304, 964, 356],
    "a\tb\nc": [320, 321, 322],
    "İstanbul ẞ": [328, 16384, 11231, 127, 509],
    "naïve façade": [1097, 35689, 563, 778, 10067, 1928],
    "한국어 문장": [15197, 250, 31871, 255, 31625, 368, 167, 105, 116, 20849, 354],
    "привет мир": [26302, 16370, 29503, 110, 22176, 141, 480, 38018, 16701, 141, 478],
    "مرحبا": [12986, 10948, 25722, 16378, 22625],
    "हिन्दी": [29446, 26721, 26090, 19389, 29552, 25751],
    "a\u200bb": [320, 9844, 321],
    "…": [959],
}
MENDED = {
    "&lt;b&gt; &amp;amp;": [283, 321, 285, 261],
    "“curly” ‘quotes’": [257, 20795, 257, 262, 5808, 262],
    "ﬁne ﬂoor": [3797, 4125],
    "Ａｂｃ，": [5334, 267],
    "schÃ¶n": [844, 7255, 333],
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.openai()


@pytest.fixture(scope="module")
def theirs(tokenizer):
    transformers = pytest.importorskip("transformers")
    return transformers.CLIPTokenizer(vocab=tokenizer.ids, merges=tokenizer.merges)


def test_start_and_end_have_the_published_ids(tokenizer):
    assert (tokenizer.vocab_size, tokenizer.start, tokenizer.end) == (49_408, 49_406, 49_407)
    assert tokenizer("", 77)[0].tolist() == [49_406] + [49_407] * 76


@pytest.mark.parametrize("text", GOLDEN)
def test_ids_are_those_of_openai(tokenizer, text):
    assert tokenizer.encode(text) == GOLDEN[text]


@pytest.mark.parametrize("text", MENDED)
def test_mended_texts_have_the_ids_of_openai(text):
    pytest.importorskip("ftfy")
    assert Tokenizer.openai(fix=True).encode(text) == MENDED[text]


def test_without_ftfy_mending_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ftfy", None)
    with pytest.raises(ValueError, match="pip install ftfy"):
        Tokenizer.openai(fix=True)


def any_text(rng: random.Random) -> str:
    r"""Assigned characters of every plane; without the capital sigma, which Python writes small in two ways."""
    planes = [(0x20, 0x250), (0x250, 0x3000), (0x3000, 0xD7FF), (0xE000, 0x1FAFF)]
    letters = (chr(rng.randrange(*rng.choice(planes))) for _ in range(rng.randint(1, 30)))
    return "".join(c for c in letters if unicodedata.category(c) not in ("Cs", "Cn") and c not in "Σ")


@pytest.mark.filterwarnings("ignore")
def test_ids_are_those_of_transformers(tokenizer, theirs):
    rng = random.Random(0)
    words = ["The", "fox's", "photograph,", "夜晚", "海边", "naïve", "1984", "(red-ish)", "don't", "привет", "🙂"]
    texts = [*GOLDEN, *(any_text(rng) for _ in range(500)), *(" ".join(rng.choices(words, k=9)) for _ in range(300))]
    differing = [text for text in texts if theirs(text)["input_ids"][1:-1] != tokenizer.encode(text)]
    assert not differing


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "text",
    [
        "<|endoftext|>",  # theirs ends the text here
        "a \x1c b",  # to Python a space, to them a word
        "ΟΔΟΣ a",  # Python writes the last sigma ς, they σ
    ],
)
def test_what_differs_from_transformers_is_known(tokenizer, theirs, text):
    assert theirs(text)["input_ids"][1:-1] != tokenizer.encode(text)


def test_typing_the_end_cannot_hijack_pooling(tokenizer):
    row = tokenizer("a cat <|endoftext|> a dog", 77)[0]
    assert row.argmax() == len(tokenizer.encode("a cat <|endoftext|> a dog")) + 1
    assert torch.equal(row[: row.argmax()] == tokenizer.end, torch.zeros(int(row.argmax()), dtype=torch.bool))


def test_padding_with_0_changes_only_what_follows_the_end(tokenizer):
    ours, openai = tokenizer("a cat", 8), tokenizer("a cat", 8, padding=0)
    assert ours[0].tolist() == [49_406, 320, 2368, *[49_407] * 5]
    assert openai[0].tolist() == [49_406, 320, 2368, 49_407, 0, 0, 0, 0]
    assert tokenizer("a cat " * 9, 5, padding=0)[0, -1] == tokenizer.end
    with pytest.raises(ValueError, match=r"padding must be in 0\.\.49407, got 49408"):
        tokenizer("a", 8, padding=49_408)


def test_a_damaged_vocabulary_is_refused(monkeypatch, tmp_path):
    (tmp_path / "v.gz").write_bytes(vocabulary.FILE.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(vocabulary, "FILE", tmp_path / "v.gz")
    with pytest.raises(CheckpointError, match="SHA-256"):
        vocabulary.openai_merges.__wrapped__()
