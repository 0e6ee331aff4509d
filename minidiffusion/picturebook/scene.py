r"""A scene is seven words and a seed: everything that a caption can say about a picture, and one number for the rest.

The held-out combinations. To ask whether a model composes ("it has seen red, it has seen cats, never a red cat") some
pairs of subject and colour are withheld from **every** training: of the VAE, CLIP, the U-Net and the judge. Each
subject loses exactly one colour; each colour is lost by one or two subjects, so that no word becomes rare:

    house       orange      windmill    yellow      boat        green       balloon     purple
    castle      green       tree        pink        car         white       teapot      blue
    lighthouse  purple      mushroom    blue        rocket      pink        cat         red
"""

from dataclasses import dataclass

import numpy as np

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
SPLITS = ("seen", "held_out", "all")


@dataclass(frozen=True)
class Scene:
    r"""What is in a picture. `seed` decides what no attribute names: the hills, the clouds, the exact position.

    Raises ValueError, naming the valid words, if an attribute has a value that the picture book does not know.
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
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; choose one of: {', '.join(values)}.")

    @property
    def labels(self) -> tuple[int, ...]:
        """The index of each attribute's value, in the order of `ATTRIBUTES`: what a classifier is to read back."""
        return tuple(values.index(getattr(self, name)) for name, values in ATTRIBUTES.items())

    @property
    def held_out(self) -> bool:
        """True if no training may see this combination of subject and colour."""
        return (self.subject, self.colour) in HELD_OUT


def random_scene(rng: np.random.Generator, split: str = "seen") -> Scene:
    r"""A scene with uniformly drawn attributes, from the "seen" combinations, the "held_out" ones, or "all"."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; choose one of: {', '.join(SPLITS)}.")
    while True:  # 12 of 96 pairs are held out, so "seen" takes 1.1 draws and "held_out" 8
        *labels, seed = rng.integers(_CHOICES).tolist()
        scene = Scene(*(values[k] for values, k in zip(ATTRIBUTES.values(), labels, strict=True)), seed=seed)
        if split == "all" or scene.held_out == (split == "held_out"):
            return scene


def scene_of_page(i: int, seed: int, split: str) -> Scene:
    """Page i of the picture book of this seed and split: it depends on nothing else, whatever the book's length."""
    return random_scene(np.random.default_rng((seed, i, SPLITS.index(split))), split)
