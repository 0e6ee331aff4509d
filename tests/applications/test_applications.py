r"""Books, icons and patterns, with a tiny model."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import PIL.Image
import pytest

from minidiffusion.applications.book import MOST_PAGES, book, illustrate, read_story
from minidiffusion.applications.icons import icons
from minidiffusion.applications.pattern import pattern
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.prompt.parser import parse
from tests.tiny import tiny_model

QUICK = SamplingSettings(steps=3)
STORY = """
# Day & <night>

It was a fine day. | a red house by the sea
<script>alert(1)</script> "and" night fell
夜晚海边的小房子 | a small blue cat --seed 9
"""


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_a_story_has_a_title_and_a_page_a_line():
    title, pages = read_story(STORY)
    assert title == "Day & <night>" and [page.text for page in pages][2] == "夜晚海边的小房子"
    assert pages[0].prompt == parse("a red house by the sea") and pages[2].prompt.seed == 9
    assert pages[1].prompt.parts[0].text == pages[1].text  # without a bar, the same is read and drawn
    assert read_story("a cat")[0] == "" and len(read_story("a cat\n\n#hashtag")[1]) == 2


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ("", "got 0"),
        ("# only a title", "got 0"),
        ("x\n" * (MOST_PAGES + 1), "must have 1 to 100 pages, each a line, got 101"),
        ("a\nb | c --sead 3", "Page 2"),
    ],
)
def test_what_is_no_story_is_refused(story, words):
    with pytest.raises(ValueError, match=words):
        read_story(story)


def test_each_page_gets_its_picture_with_twice_the_pixels(model):
    _, pages = read_story(STORY)
    pictures = illustrate(model, pages, seed=4, settings=QUICK)
    assert [(picture.image.size, picture.record.seed) for picture in pictures] == [((32, 32), s) for s in (4, 5, 9)]
    (plain,) = model.imagine("a red house by the sea", [4], QUICK)
    assert pictures[0].record.sources == (plain.record,)


def test_a_book_holds_everything_and_runs_nothing(model):
    title, pages = read_story(STORY)
    pictures = illustrate(model, pages, settings=QUICK)
    text = book(title, [page.text for page in pages], pictures)
    tags, shown = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append((tag, dict(attributes)))

        def handle_data(self, data):
            shown.append(data)

    Reader().feed(text)
    assert "script" not in {tag for tag, _ in tags} and '<script>alert(1)</script> "and" night fell' in shown
    assert "Day & <night>" in shown and "夜晚海边的小房子" in shown
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert [image["alt"] for image in images] == [page.text for page in pages]
    for image, picture in zip(images, pictures, strict=True):
        data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert PIL.Image.open(io.BytesIO(data)).tobytes() == picture.image.tobytes()
    addresses = re.findall(r"(?:src|href|url)[=(]\s*[\"']?([^\"' >)]*)", text)
    assert all(address.startswith("data:") for address in addresses) and len(addresses) == 3


def test_icons_are_what_the_choices_make(model):
    sheet, single = icons(model, "a {red, blue} {house, cat}", 3, QUICK)
    assert [picture.record.sources[0].prompt for picture in single] == [
        "a red house",
        "a red cat",
        "a blue house",
        "a blue cat",
    ]
    assert {picture.record.seed for picture in single} == {3} and sheet.size == (2 * 64 + 2, 2 * 64 + 2)


def test_a_pattern_is_one_tile_many_times_and_the_tile_has_no_seam(model):
    wall, tile = pattern(model, "a red house", 3, 3, QUICK)
    assert wall.size == (48, 48) and tile.record.prompt == "a red house --tile"
    pixels, one = np.asarray(wall), np.asarray(tile.image)
    assert all((pixels[y : y + 16, x : x + 16] == one).all() for y in (0, 16, 32) for x in (0, 16, 32))
    (plain,) = model.imagine(replace(parse("a red house"), tile=True), [3], QUICK)
    assert plain.image.tobytes() == tile.image.tobytes()
    for times in (0, 17):
        with pytest.raises(ValueError, match="times must be between 1 and 16, got"):
            pattern(model, "a red house", 3, times, QUICK)
