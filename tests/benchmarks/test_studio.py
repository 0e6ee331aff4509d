r"""The benchmark of flags and actions: how subjects are counted in pictures of other shapes than the judge's."""

import numpy as np
import pytest

from benchmarks.studio import Studio, apart, scenes
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import Scene


@pytest.fixture(scope="module")
def studio():
    return Studio("picturebook")


def page(side: str, width: int, height: int) -> np.ndarray:
    return render(Scene("house", "red", "meadow", "day", "storybook", "large", side, 0), width, height)


def test_one_subject_is_in_one_place_and_two_are_apart(studio):
    left, right = page("left", 128, 64), page("right", 128, 64)
    for one in (left, right, page("centre", 128, 64), page("centre", 64, 128)):
        distance = apart(studio, one, "house")
        assert distance is not None and distance <= 32
    assert apart(studio, np.concatenate([left[:, :64], right[:, 64:]], axis=1), "house") > 32
    assert apart(studio, np.concatenate([page("centre", 64, 64)] * 2), "house") > 32


@pytest.mark.parametrize("height", [96, 128])
def test_it_is_found_wherever_the_ground_is(studio, height):
    for scene in scenes(20, 5):
        assert apart(studio, render(scene, 64, height), scene.subject) is not None, scene


def test_what_is_not_there_is_not_found(studio):
    assert apart(studio, page("centre", 128, 64), "cat") is None
