import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minidiffusion.data import make_emoji
from minidiffusion.data.captioned import CaptionedPictures
from minidiffusion.data.emoji import CATEGORIES, PACK, SHA256, Emoji, emoji, is_held_out, pack, unpack
from minidiffusion.training.clip import hard_negatives
from tests.unchecked import unchecked


@pytest.fixture(scope="module")
def everything() -> Emoji:
    return emoji()


def all_of(data: Emoji) -> torch.Tensor:
    return torch.arange(len(data))


def test_the_pack_is_the_published_one():
    assert hashlib.sha256(PACK.read_bytes()).hexdigest() == SHA256


def test_its_size_and_its_parts(everything):
    assert isinstance(everything, CaptionedPictures)
    assert len(everything) == 3241 and len(set(everything.groups)) == 1417
    assert len(set(everything.names)) == len(set(everything.names_zh)) == len(set(everything.codes)) == 3241
    assert np.bincount(everything.tones).tolist() == [1631, 322, 322, 322, 322, 322]
    assert tuple(dict.fromkeys(everything.categories)) == CATEGORIES
    assert len(emoji(skin_tones=False)) == 1631


def test_there_are_no_flags(everything):
    # Chequered, triangular, crossed, black, white, rainbow, transgender and pirate flag; then those of the countries,
    # which are spelled in regional letters, and those of regions, which are spelled in tags.
    flags = {"1f3c1", "1f6a9", "1f38c", "1f3f4", "1f3f3"}
    for code in everything.codes:
        points = code.split("-")
        assert not flags & set(points)
        assert not any(0x1F1E6 <= int(point, 16) <= 0x1F1FF or int(point, 16) >= 0xE0000 for point in points)


def test_pictures_are_in_range_on_white_and_none_is_empty(everything):
    x = everything.pictures(all_of(everything))
    assert x.shape == (3241, 3, 32, 32) and x.dtype == torch.float32
    assert x.min() >= -1 and x.max() <= 1
    assert (x.flatten(1).amax(1) - x.flatten(1).amin(1)).min() > 0.25  # the faintest: a small white square
    assert len({picture.numpy().tobytes() for picture in x}) == 3241


def test_the_background_shows_where_the_picture_does_not(everything):
    indices = torch.tensor([everything.names.index("red apple")] * 2)
    red, blue = everything.pictures(indices, torch.tensor([[1.0, -1, -1], [-1, -1, 1]]))
    assert red[:, 0, 0].tolist() == [1, -1, -1] and blue[:, 0, 0].tolist() == [-1, -1, 1]
    assert torch.equal(red[:, 16, 16], blue[:, 16, 16])


@pytest.mark.parametrize(
    "name, strongest",
    [
        *((name, 0) for name in ("red apple", "red heart", "tomato", "lobster", "red circle")),
        *((name, 1) for name in ("green apple", "four leaf clover", "green heart", "frog", "green circle")),
        *((name, 2) for name in ("blue heart", "blueberries", "whale", "jeans", "blue circle")),
    ],
)
def test_a_name_belongs_to_its_picture(everything, name, strongest):
    x = everything.pictures(torch.tensor([everything.names.index(name)]))[0]
    assert x.mean(dim=(1, 2)).argmax() == strongest


def test_a_darker_skin_tone_is_a_darker_picture(everything):
    brightness = everything.pictures(all_of(everything)).mean(dim=(1, 2, 3))
    i = everything.names.index("clapping hands: light skin tone")
    assert everything.tones[i : i + 5] == (1, 2, 3, 4, 5)
    assert (brightness[i : i + 5].diff() < 0).all()


# --------------------------------------------------------------------------------------------------------- the split


def test_the_split_is_by_group_and_about_a_tenth(everything):
    held_out, others = everything.split(held_out=True), everything.split(held_out=False)
    assert not set(held_out.groups) & set(others.groups)
    assert (len(held_out), len(others)) == (225, 3016)
    assert len(set(held_out.groups)) == 125
    assert all(map(is_held_out, held_out.groups))
    assert min(map(held_out.categories.count, CATEGORIES)) >= 10


def test_skin_tones_genders_and_directions_are_one_group(everything):
    group = dict(zip(everything.codes, everything.groups, strict=True))
    tones = {tone.lower() for tone in make_emoji.TONES}
    for code in group:
        assert group["-".join(point for point in code.split("-") if point not in tones)] == group[code]
    group = dict(zip(everything.names, everything.groups, strict=True))
    cooks = {group[name] for name in ("cook", "man cook", "woman cook: dark skin tone")}
    assert cooks == {"1f9d1-200d-1f373"}
    assert group["person running"] == group["woman running: facing right"]
    assert group["kiss"] == group["kiss: woman, man"] != group["couple with heart"]
    assert len({group[name] for name in group if name.startswith("family")}) == 1
    assert group["red apple"] != group["green apple"]


def test_a_split_keeps_pictures_captions_and_labels_together(everything):
    held_out = everything.split(held_out=True)
    indices = torch.tensor([everything.names.index(name) for name in held_out.names])
    assert torch.equal(held_out.pictures(all_of(held_out)), everything.pictures(indices))
    assert torch.equal(held_out.labels, everything.labels[indices])
    captions = held_out.captions(all_of(held_out), torch.Generator().manual_seed(0))
    assert all(name in caption for name, caption in zip(held_out.names, captions, strict=True))


# ----------------------------------------------------------------------------------------------- captions and labels


@pytest.mark.parametrize("languages", [("en",), ("zh",), ("en", "zh")])
def test_captions_have_the_name_and_depend_on_the_generator_alone(languages):
    data = emoji(languages=languages)
    first, again, other = (data.captions(all_of(data), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first == again != other
    for caption, *names in zip(first, data.names, data.names_zh, strict=True):
        assert any(name in caption for name in names)
    separators = (", ", "，")  # nothing before or after one, if a picture without a keyword were given that caption
    assert not any(caption.startswith(separators) or caption.endswith(separators) for caption in first + other)
    chinese = np.mean([name in caption for name, caption in zip(data.names_zh, first, strict=True)])
    assert abs(chinese - languages.count("zh") / len(languages)) < 0.05


def test_captions_vary(everything):
    generator = torch.Generator().manual_seed(0)
    i = everything.names.index("shark")
    captions = set(everything.captions(torch.full((100,), i), generator))
    assert {"shark", "shark emoji", "an emoji that shows shark", "shark, fish", "animal, shark"} <= captions


def test_unknown_languages_are_refused():
    for languages in ((), ("en", "fr")):
        with pytest.raises(ValueError, match='"en" and "zh"'):
            unchecked(emoji)(languages=languages)


def test_labels_tell_all_pictures_apart(everything):
    assert len(everything.labels.unique(dim=0)) == 3241
    assert [CATEGORIES[c] for c in everything.labels[:, 0]] == list(everything.categories)
    group = everything.labels[:, 2].tolist()
    assert len(set(zip(group, everything.groups, strict=True))) == len(set(group)) == len(set(everything.groups))
    indices = hard_negatives(everything.labels, 64, torch.Generator().manual_seed(0))
    assert len(indices) == 64


# -------------------------------------------------------------------------------------------------- how it was made


def test_what_is_packed_comes_back():
    pixels = np.random.default_rng(0).integers(256, size=(3, 32, 32, 4), dtype=np.uint8)
    table = [{"name": {"zh": "红苹果"}}, {}, {"tone": 1}]
    file = pack(table, pixels)
    assert file == pack(table, pixels)
    table_again, pixels_again = unpack(file)
    assert table_again == table and np.array_equal(pixels_again, pixels)


def test_halving_weighs_colours_by_alpha():
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[0, 0] = 200, 100, 0, 255
    picture[0, 1] = 100, 0, 0, 85  # a third as opaque
    picture[1, 0] = 255, 255, 255, 0  # invisible
    picture[2, 2] = 200, 0, 0, 1  # invisible once it is a quarter of a pixel
    half = make_emoji.halve(picture)
    assert half.shape == (32, 32, 4)
    assert half[0, 0].tolist() == [175, 75, 0, 85]
    assert not half[1:].any() and not half[0, 1:].any()


def test_of_twins_the_shortest_code_stays_then_the_later():
    a, b = np.zeros((2, 2)), np.ones((2, 2))
    assert make_emoji.without_duplicates(["1f3c2", "1f3c2-1f3fb", "1f400"], [a, a, b]) == [0, 2]
    assert make_emoji.without_duplicates(["1f468-1", "1f400", "1f9d1-2"], [a, b, a]) == [1, 2]


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"package/{name}")
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def small_packages(tmp_path: Path) -> Path:
    """The three packages with a waving woman in two tones (and one pair of tones), an apple and a flag."""

    def entry(name, code, order, category, **more):
        unified = {"unified": code, "image": f"{code.lower()}.png"}
        return {"name": name, "sort_order": order, "category": category, "subcategory": "x", **unified, **more}

    tones = {
        "-".join([tone] * 2): {"unified": f"1F469-{tone}-200D-2640-FE0F", "image": f"{tone}.png"}
        for tone in make_emoji.TONES
    } | {"1F3FB-1F3FF": {"unified": "1F469-1F3FB-1F3FF", "image": "mixed.png"}}
    entries = [
        entry("APPLE", "1F34E", 2, "Food & Drink"),
        entry("WOMAN", "1F469-200D-2640-FE0F", 1, "People & Body", skin_variations=tones),
        entry("FLAG", "1F6A9", 3, "Flags"),
    ]
    with tarfile.open(tmp_path / make_emoji.PICTURES, "w:gz") as tar:
        files = [entry["image"] for entry in entries] + [look["image"] for look in tones.values()]
        for grey, file in enumerate(files):
            stream = io.BytesIO()
            Image.new("RGBA", (64, 64), (grey, 0, 0, 255)).save(stream, "PNG")
            add(tar, f"img/google/64/{file}", stream.getvalue())
        add(tar, "emoji.json", json.dumps(entries).encode())
    annotations = {"\U0001f34e": {"default": ["apple", "fruit"], "tts": ["red apple"]}}
    derived = {"\U0001f469\u200d\u2640": {"default": ["woman"], "tts": ["woman"]}} | {
        f"\U0001f469{chr(int(tone, 16))}\u200d\u2640": {"tts": [f"woman: {tone}"]} for tone in make_emoji.TONES
    }
    for package, kind, content in (
        (make_emoji.NAMES, "annotations", annotations),
        (make_emoji.NAMES_OF_SEQUENCES, "annotationsDerived", derived),
    ):
        with tarfile.open(tmp_path / package, "w:gz") as tar:
            for language in ("en", "zh"):
                text = json.dumps({kind: {"annotations": content}}).encode()
                add(tar, f"{kind}/{language}/annotations.json", text)
    return tmp_path


def test_the_script_makes_the_same_bytes_from_the_same_packages(small_packages):
    file = make_emoji.make(small_packages)
    assert file == make_emoji.make(small_packages)
    table, pixels = unpack(file)
    assert [row["code"] for row in table[:2]] == ["1f469-200d-2640", "1f469-1f3fb-200d-2640"]
    assert [row["tone"] for row in table] == [0, 1, 2, 3, 4, 5, 0]
    assert [row["group"] for row in table] == ["1f9d1"] * 6 + ["1f34e"]
    assert table[6]["name"] == {"en": "red apple", "zh": "red apple"} and table[6]["keywords"]["en"] == ["fruit"]
    assert pixels[:, 0, 0, 0].tolist() == [1, 3, 4, 5, 6, 7, 0]  # each row has its own picture


def test_other_packages_are_refused_and_nothing_is_written(small_packages, monkeypatch, tmp_path):
    monkeypatch.setattr(make_emoji, "PACK", tmp_path / "emoji.xz")
    assert "is not the published package" in make_emoji.main(small_packages)
    assert "is missing" in make_emoji.main(tmp_path / "nowhere")
    assert not (tmp_path / "emoji.xz").exists()


@pytest.mark.skipif("MINIDIFFUSION_EMOJI_PACKAGES" not in os.environ, reason="needs the folder of the three packages")
def test_the_pack_is_what_the_script_makes_of_the_published_packages():
    assert hashlib.sha256(make_emoji.make(Path(os.environ["MINIDIFFUSION_EMOJI_PACKAGES"]))).hexdigest() == SHA256
