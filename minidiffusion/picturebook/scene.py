r"""Scenes: seven attributes, which a caption can mention, and a seed for everything else in the picture.

**Held-out combinations.** To test whether a model composes (it has seen red things and cats, but never a red cat), some
pairs of subject and colour are withheld from **every** training: of the VAE, CLIP, the U-Net and the judge. Each
subject lacks exactly one colour; each colour is lacked by one or two subjects, so that no word becomes rare:

    house       orange      windmill    yellow      boat        green       balloon     purple
    castle      green       tree        pink        car         white       teapot      blue
    lighthouse  purple      mushroom    blue        rocket      pink        cat         red
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from minidiffusion.errors import UserError

SUBJECTS = (
    "house", "castle", "lighthouse", "windmill", "tree", "mushroom",
    "cat", "boat", "car", "rocket", "balloon", "teapot",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
PLACES = ("meadow", "sea", "desert", "snow", "forest")
SKIES = ("day", "night", "sunset", "rain", "aurora")
STYLES = ("storybook", "watercolor", "ink", "pixel art", "neon", "paper cut")
SIZES = ("small", "large")
SIDES = ("left", "centre", "right")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "place": PLACES,
    "sky": SKIES,
    "style": STYLES,
    "size": SIZES,
    "side": SIDES,
}

HELD_OUT = frozenset({
    ("house", "orange"), ("castle", "green"), ("lighthouse", "purple"), ("windmill", "yellow"),
    ("tree", "pink"), ("mushroom", "blue"), ("cat", "red"), ("boat", "green"),
    ("car", "white"), ("rocket", "pink"), ("balloon", "purple"), ("teapot", "blue"),
})  # fmt: skip

_CHOICES = np.array([*map(len, ATTRIBUTES.values()), 2**31])  # of each attribute, and of the seed
Split = Literal["seen", "held_out", "all"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Scene:
    r"""The content of a picture. `seed` determines what no attribute does: terrain, clouds, the exact position.

    Raises UserError, with the valid values, for an unknown value of an attribute.
    """

    subject: str
    colour: str
    place: str
    sky: str
    style: str
    size: str
    side: str
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values in ATTRIBUTES.items():
            if getattr(self, name) not in values:
                raise UserError(f"{name} must be one of {', '.join(values)}, got {getattr(self, name)!r}.")

    @property
    def labels(self) -> tuple[int, ...]:
        """The index of each attribute's value, in the order of `ATTRIBUTES`: the labels of a classifier."""
        return tuple(values.index(getattr(self, name)) for name, values in ATTRIBUTES.items())

    @property
    def held_out(self) -> bool:
        """True if this combination of subject and colour is withheld from training."""
        return (self.subject, self.colour) in HELD_OUT


def random_scene(rng: np.random.Generator, split: Split = "seen") -> Scene:
    r"""A scene with uniformly drawn attributes, from the "seen" combinations, the "held_out" ones, or "all"."""
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    while True:  # 12 of 96 pairs are held out, so "seen" takes 1.1 draws and "held_out" 8
        *labels, seed = rng.integers(_CHOICES).tolist()
        scene = Scene(*(values[k] for values, k in zip(ATTRIBUTES.values(), labels, strict=True)), seed=seed)
        if split == "all" or scene.held_out == (split == "held_out"):
            return scene


def scene_of_page(i: int, seed: int, split: Split) -> Scene:
    """Page i of the picture book of this seed and split; it does not depend on the length of the book."""
    return random_scene(np.random.default_rng((seed, i, SPLITS.index(split))), split)
