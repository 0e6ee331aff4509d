"""Pictures: the same for the same scene, and every attribute visible in every style."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise, product

import numpy as np
import pytest

from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import ATTRIBUTES, COLOURS, PLACES, SKIES, STYLES, SUBJECTS, Scene, random_scene

CAR = Scene("car", "red", "meadow", "day", "storybook", "large", "centre", seed=5)
DIGEST = """
import hashlib, numpy
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene
rng = numpy.random.default_rng(0)
print(hashlib.sha256(b"".join(render(random_scene(rng, "all")).tobytes() for _ in range(40))).hexdigest())
"""


@cache
def picture(scene: Scene) -> np.ndarray:
    """The scene's picture as numbers that can be subtracted; kept, for many tests ask for the same."""
    return render(scene).astype(float)


def difference(a: Scene, b: Scene) -> np.ndarray:
    """By how much two scenes' pictures differ at each pixel, 0..255."""
    return np.abs(picture(a) - picture(b)).max(axis=2)


def mark(scene: Scene) -> np.ndarray:
    """Where the subject's own colour is: the pixels that differ between a red subject and a blue one."""
    return difference(replace(scene, colour="red"), replace(scene, colour="blue")) > 60


def test_a_picture_is_64_by_64_bytes_of_colour():
    assert render(CAR).shape == (64, 64, 3)
    assert render(CAR).dtype == np.uint8


def test_the_same_scene_is_the_same_picture_in_another_process():
    rng = np.random.default_rng(0)
    here = hashlib.sha256(b"".join(render(random_scene(rng, "all")).tobytes() for _ in range(40))).hexdigest()
    there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_another_seed_is_another_picture_of_the_same():
    changed = difference(CAR, replace(CAR, seed=6))
    assert 0.02 < np.mean(changed > 16) < 0.6


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name != "style"])
def test_every_value_of_every_attribute_is_visible_in_every_style(name: str, style: str):
    plain = replace(CAR, style=style, size="small")
    for a, b in combinations(ATTRIBUTES[name], 2):
        changed = difference(replace(plain, **{name: a}), replace(plain, **{name: b})) > 24
        assert changed.sum() >= 60, (a, b)


def test_styles_are_told_apart_in_every_place_and_sky():
    for place, sky in product(PLACES, SKIES):
        for a, b in combinations(STYLES, 2):
            one, other = (replace(CAR, place=place, sky=sky, style=style) for style in (a, b))
            assert np.abs(picture(one) - picture(other)).mean() > 3.5, (one, other)


@pytest.mark.parametrize("style", STYLES)
def test_colour_changes_the_subject_and_little_else(style: str):
    for subject in SUBJECTS:
        rows, columns = np.nonzero(mark(replace(CAR, subject=subject, style=style)))
        assert len(rows) >= 150, subject
        assert columns.min() >= 8, subject
        assert columns.max() <= 55, subject
        assert rows.min() >= 16, subject


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("sky", SKIES)
def test_the_colour_is_told_by_the_subjects_mean_in_every_style_and_sky(style: str, sky: str):
    """A car's mean colour is far nearer that of a car of its colour elsewhere than that of a car of another colour."""
    here = replace(CAR, style=style, sky=sky, place="desert")
    there = replace(here, side="left", seed=11)
    known = {colour: picture(replace(here, colour=colour))[mark(here)].mean(axis=0) for colour in COLOURS}
    for colour in COLOURS:
        seen = picture(replace(there, colour=colour))[mark(there)].mean(axis=0)
        distance = {other: np.linalg.norm(seen - mean) for other, mean in known.items()}
        assert distance.pop(colour) < 0.5 * min(distance.values()), colour


def test_no_light_and_no_style_turns_one_hue_into_another():
    """The hue of a subject's mean colour is nearest that of its own colour by day in the storybook."""
    hues = COLOURS[:6]  # pink is a pale red and white has none
    by_day = {colour: angle(picture(replace(CAR, colour=colour))[mark(CAR)].mean(axis=0)) for colour in hues}
    for style, sky, colour in product(STYLES, SKIES, hues):
        scene = replace(CAR, style=style, sky=sky, place="desert", colour=colour)
        hue = angle(picture(scene)[mark(scene)].mean(axis=0))
        turned = {other: abs((hue - h + 180) % 360 - 180) for other, h in by_day.items()}
        assert min(turned, key=turned.__getitem__) == colour, (style, sky, turned)


def angle(colour: np.ndarray) -> float:
    """The hue of a colour in degrees."""
    r, g, b = colour
    return float(np.degrees(np.arctan2(3**0.5 * (g - b), 2 * r - g - b)) % 360)


@pytest.mark.parametrize("style", STYLES)
def test_a_large_subject_covers_more_than_twice_what_a_small_one_does(style: str):
    for subject in SUBJECTS:
        small, large = (replace(CAR, subject=subject, style=style, size=size) for size in ("small", "large"))
        assert mark(large).sum() > 2 * mark(small).sum(), subject


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_three_sides_are_far_apart_whatever_the_seed(size: str):
    for subject in ("castle", "boat", "rocket"):
        middles = [
            [
                np.nonzero(mark(replace(CAR, subject=subject, size=size, side=side, seed=seed)))[1].mean()
                for seed in range(6)
            ]
            for side in ("left", "centre", "right")
        ]
        for left, right in pairwise(middles):
            assert min(right) - max(left) > 9, subject


@pytest.mark.parametrize("style", STYLES)
def test_windows_shine_at_night(style: str):
    def golden(sky: str) -> int:
        walls = picture(replace(CAR, subject="house", colour="blue", style=style, sky=sky))[42:53, 22:42]
        return int(np.sum((walls[..., 0] > 150) & (walls[..., 0] - walls[..., 2] > 40)))

    assert golden("night") > 40
    assert golden("day") < 5


def test_snow_lies_on_the_roof():
    house = replace(CAR, subject="house", colour="blue")
    roof = picture(replace(house, place="snow")) - picture(house)
    assert np.sum(roof[24:44, 12:52].min(axis=2) > 80) > 15


@pytest.mark.parametrize("style", STYLES)
def test_the_sea_mirrors_the_subject(style: str):
    """A red boat and a blue one differ far below their keels by the sea, but not on a pond."""
    boat = replace(CAR, subject="boat", style=style)
    below = slice(58, 62)
    by_the_sea, on_a_pond = (
        difference(replace(boat, place=place), replace(boat, place=place, colour="blue"))[below].max()
        for place in ("sea", "forest")
    )
    assert by_the_sea > 25
    assert on_a_pond < by_the_sea / 2


SPEED = """
import time, numpy
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene
rng = numpy.random.default_rng(0)
scenes = [random_scene(rng, "all") for _ in range(300)]
for scene in scenes: render(scene)
start = time.process_time()
for scene in scenes: render(scene)
print(len(scenes) / (time.process_time() - start))
"""


def test_rendering_is_no_bottleneck():
    """In a process of its own, without the tests' type checks; 350 a second were measured, a slow core may do 60."""
    speed = subprocess.run([sys.executable, "-c", SPEED], capture_output=True, text=True, check=True)
    assert float(speed.stdout) > 60
