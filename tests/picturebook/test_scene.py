"""Scenes: seven words and a seed, and which of their combinations no training sees."""

from collections import Counter

import numpy as np
import pytest

from minidiffusion.picturebook.scene import ATTRIBUTES, COLOURS, HELD_OUT, SUBJECTS, Scene, random_scene, scene_of_page
from tests.unchecked import unchecked

HOUSE = {
    "subject": "house",
    "colour": "red",
    "place": "sea",
    "sky": "night",
    "style": "ink",
    "size": "small",
    "side": "left",
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_unknown_value_is_refused_with_the_valid_ones(name: str):
    with pytest.raises(ValueError, match=f"{name} must be one of {ATTRIBUTES[name][0]}, .*, got 'grue'"):
        Scene(**{**HOUSE, name: "grue"})


def test_labels_are_the_indices_of_the_values():
    scene = Scene(**HOUSE)
    assert [values[k] for values, k in zip(ATTRIBUTES.values(), scene.labels, strict=True)] == list(HOUSE.values())


def test_every_subject_loses_one_colour_and_no_colour_is_lost_often():
    assert sorted(subject for subject, _ in HELD_OUT) == sorted(SUBJECTS)
    lost = Counter(colour for _, colour in HELD_OUT)
    assert set(lost) == set(COLOURS)
    assert max(lost.values()) == 2


def test_the_splits_share_nothing_and_together_are_everything():
    rng = np.random.default_rng(0)
    pairs = {
        split: {(s.subject, s.colour) for s in (random_scene(rng, split) for _ in range(n))}
        for split, n in (("seen", 2000), ("held_out", 300), ("all", 2000))
    }
    assert pairs["held_out"] == HELD_OUT
    assert not pairs["seen"] & HELD_OUT
    assert pairs["seen"] | HELD_OUT == pairs["all"] == {(s, c) for s in SUBJECTS for c in COLOURS}


def test_every_value_is_drawn_equally_often():
    rng = np.random.default_rng(1)
    labels = np.array([random_scene(rng, "all").labels for _ in range(6000)])
    for column, values in zip(labels.T, ATTRIBUTES.values(), strict=True):
        expected = 6000 / len(values)
        deviation = np.abs(np.bincount(column, minlength=len(values)) - expected)
        assert deviation.max() < 5 * expected**0.5


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of seen, held_out, all, got 'train'"):
        unchecked(random_scene)(np.random.default_rng(0), "train")


def test_a_page_depends_on_its_number_seed_and_split_only():
    assert scene_of_page(7, 3, "seen") == scene_of_page(7, 3, "seen")
    others = [scene_of_page(8, 3, "seen"), scene_of_page(7, 4, "seen"), scene_of_page(7, 3, "all")]
    assert scene_of_page(7, 3, "seen").seed not in {scene.seed for scene in others}
