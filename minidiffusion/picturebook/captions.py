r"""Captions of a scene, in English and in Chinese.

A caption is true but need not be complete: it always names the subject and may leave out any other attribute. A model
trained on such captions learns that what is not mentioned is free, and that one thing can be said in many ways:

    a small red house by the sea at night, watercolor
    watercolor painting of a red house, at night, by the sea, on the left
    夜晚海边的红色小房子，水彩画

No word is shared by two values of an attribute, so the attributes can be parsed from every caption.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np

from minidiffusion.data.captioned import Language
from minidiffusion.errors import UserError

from .scene import ATTRIBUTES, Scene

LANGUAGES: tuple[Language, ...] = get_args(Language)
ENGLISH_SHARE = 0.6  # of captions in either language

Synonyms = dict[str, dict[str, dict[str, tuple[str, ...]]]]

# The first synonym is the canonical one. English styles: the first one can also be followed by "of".
LEXICON: Synonyms = {
    "subject": {
        "house": {"en": ("house", "cottage"), "zh": ("房子", "房屋")},
        "castle": {"en": ("castle",), "zh": ("城堡",)},
        "lighthouse": {"en": ("lighthouse",), "zh": ("灯塔",)},
        "windmill": {"en": ("windmill",), "zh": ("风车",)},
        "tree": {"en": ("tree",), "zh": ("树",)},
        "mushroom": {"en": ("mushroom", "toadstool"), "zh": ("蘑菇",)},
        "cat": {"en": ("cat", "kitty"), "zh": ("猫", "猫咪")},
        "boat": {"en": ("boat", "sailing boat", "sailboat"), "zh": ("帆船", "船")},
        "car": {"en": ("car", "automobile"), "zh": ("汽车", "轿车")},
        "rocket": {"en": ("rocket", "space rocket"), "zh": ("火箭",)},
        "balloon": {"en": ("balloon", "hot-air balloon", "hot air balloon"), "zh": ("热气球", "气球")},
        "teapot": {"en": ("teapot",), "zh": ("茶壶",)},
    },
    "colour": {
        "red": {"en": ("red",), "zh": ("红色", "红")},
        "orange": {"en": ("orange",), "zh": ("橙色", "橘色", "橙")},
        "yellow": {"en": ("yellow",), "zh": ("黄色", "黄")},
        "green": {"en": ("green",), "zh": ("绿色", "绿")},
        "blue": {"en": ("blue",), "zh": ("蓝色", "蓝")},
        "purple": {"en": ("purple", "violet"), "zh": ("紫色", "紫")},
        "pink": {"en": ("pink",), "zh": ("粉色", "粉红色", "粉红")},
        "white": {"en": ("white",), "zh": ("白色", "白")},
    },
    "place": {
        "meadow": {"en": ("in a meadow", "in the meadow", "on the grass", "in a field"), "zh": ("草地上", "草原上")},
        "sea": {"en": ("by the sea", "at the seaside", "by the ocean", "on the coast"), "zh": ("海边", "海上")},
        "desert": {"en": ("in the desert", "in a desert", "among the dunes"), "zh": ("沙漠里", "沙漠中")},
        "snow": {"en": ("in the snow", "on the snow", "in a snowy land"), "zh": ("雪地里", "雪地上", "雪中")},
        "forest": {"en": ("in the forest", "in a forest", "in the woods"), "zh": ("森林里", "森林中", "林间")},
    },
    "sky": {
        "day": {"en": ("by day", "during the day", "in daylight", "on a sunny day"), "zh": ("白天", "晴天")},
        "night": {"en": ("at night", "by night", "in the moonlight"), "zh": ("夜晚", "晚上", "夜里", "月光下")},
        "sunset": {"en": ("at sunset", "at dusk", "in the sunset"), "zh": ("日落时", "黄昏", "夕阳下", "傍晚")},
        "rain": {"en": ("in the rain", "on a rainy day", "in rainy weather"), "zh": ("雨中", "雨天", "下雨时")},
        "aurora": {"en": ("under the northern lights", "under the aurora"), "zh": ("极光下", "北极光下")},
    },
    "style": {
        "storybook": {"en": ("storybook illustration", "storybook", "gouache"), "zh": ("绘本", "故事书插画")},
        "watercolor": {"en": ("watercolor painting", "watercolor", "watercolour"), "zh": ("水彩画", "水彩")},
        "ink": {"en": ("ink drawing", "pen and ink", "ink"), "zh": ("钢笔画", "钢笔淡彩", "墨线画")},
        "pixel art": {"en": ("pixel art", "pixels", "8-bit pixel art"), "zh": ("像素画", "像素艺术")},
        "neon": {"en": ("neon picture", "neon", "neon art"), "zh": ("霓虹画", "霓虹", "霓虹灯")},
        "paper cut": {"en": ("paper cut", "papercut", "paper cut-out"), "zh": ("剪纸", "剪纸画")},
    },
    "size": {
        "small": {"en": ("small", "little", "tiny"), "zh": ("小",)},
        "large": {"en": ("large", "big"), "zh": ("大",)},
    },
    "side": {
        "left": {"en": ("on the left", "to the left", "on the left side"), "zh": ("左边", "左侧")},
        "centre": {"en": ("in the centre", "in the center", "in the middle"), "zh": ("中间", "中央")},
        "right": {"en": ("on the right", "to the right", "on the right side"), "zh": ("右边", "右侧")},
    },
}  # fmt: skip

MEASURE_WORDS = {
    "house": "一座", "castle": "一座", "lighthouse": "一座", "windmill": "一座", "tree": "一棵", "mushroom": "一朵",
    "cat": "一只", "boat": "一艘", "car": "一辆", "rocket": "一枚", "balloon": "一个", "teapot": "一把",
}  # fmt: skip

# words that mention no attribute
CONNECTING = {
    "en": ("a", "an", "the", "of", "in", "style", "picture"),
    "zh": ("的", "在", "有", "位于", "画面", "风格", "一幅", *MEASURE_WORDS.values()),
}


class Caption(NamedTuple):
    text: str
    mentioned: frozenset[str]  # the attributes that the text states


def caption(
    scene: Scene, rng: np.random.Generator, language: Language | None = None, leave_out: float = 0.15
) -> Caption:
    r"""A random true caption of the scene, in the given language, or in either if None.

    Each attribute but the subject is left out with probability `leave_out`, size and side three times as often: at the
    default, half of all captions mention colour, place, sky and style. Raises UserError for an unknown language or a
    probability outside 0..1.
    """
    check_language(language)
    if not 0 <= leave_out <= 1:
        raise UserError(f"leave_out must be between 0 and 1, got {leave_out}.")
    draws = iter(rng.random(32).tolist())
    if language is None:
        language = "en" if next(draws) < ENGLISH_SHARE else "zh"

    words = {name: "" for name in ATTRIBUTES}
    for name in ATTRIBUTES:
        omitted = 0.0 if name == "subject" else leave_out * (3 if name in ("size", "side") else 1)
        if next(draws) >= omitted:
            words[name] = pick(LEXICON[name][getattr(scene, name)][language], draws)
    mentioned = frozenset(name for name, word in words.items() if word)
    return Caption(COMPOSE[language](scene, words, draws), mentioned)


def describe(scene: Scene, language: Language = "en") -> str:
    """The full caption in canonical words, with all seven attributes."""
    check_language(language)
    word = {name: LEXICON[name][getattr(scene, name)][language][0] for name in ATTRIBUTES}
    if language == "zh":
        thing = f"{MEASURE_WORDS[scene.subject]}{word['colour']}的{word['size']}{word['subject']}"
        return f"{word['sky']}{word['place']}{thing}，在{word['side']}，{word['style']}"
    thing = f"a {word['size']} {word['colour']} {word['subject']}"
    return f"{thing} {word['place']} {word['sky']}, {word['side']}, {word['style']}"


def vocabulary(language: Language | None = None) -> frozenset[str]:
    """Every word of all captions: single English words, and the Chinese terms of the lexicon."""
    check_language(language)
    known: set[str] = set()
    for tongue in LANGUAGES if language is None else (language,):
        terms = [term for values in LEXICON.values() for value in values.values() for term in value[tongue]]
        terms += CONNECTING[tongue]
        known.update(word for term in terms for word in term.split())
    return frozenset(known)


def check_language(language: str | None) -> None:
    if language is not None and language not in LANGUAGES:
        raise UserError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}.")


def pick(options: Sequence[str], draws: Iterator[float]) -> str:
    return options[int(next(draws) * len(options))]


def english(scene: Scene, words: dict[str, str], draws: Iterator[float]) -> str:
    """One of six orders of what, where, when, on which side and in which style."""
    thing = spaced(words["size"], words["colour"], words["subject"])
    thing = pick((a(thing), a(thing), "the ", ""), draws) + thing
    place, sky, style, side = words["place"], words["sky"], words["style"], words["side"]
    order = int(next(draws) * 6)
    if order == 0:  # a red house by the sea at night, on the left, watercolor
        parts = [spaced(thing, place, sky), side, style]
    elif order == 1:  # a red house on the left at night by the sea, watercolor
        parts = [spaced(thing, side, sky, place), style]
    elif order == 2:  # watercolor painting of a red house by the sea at night, on the left
        noun = LEXICON["style"][scene.style]["en"][0] if style else "picture"
        parts = [spaced(f"{pick((a(noun), ''), draws)}{noun} of {thing}", place, sky), side]
    elif order == 3:  # at night, a red house by the sea, on the left, in watercolor style
        parts = [sky, spaced(thing, place), side, style and f"in {scene.style} style"]
    elif order == 4:  # watercolor, a red house, by the sea, at night, on the left
        parts = [style, thing, place, sky, side]
    else:  # by the sea at night, a red house on the left, watercolor
        parts = [spaced(place, sky), spaced(thing, side), style]
    return ", ".join(filter(None, parts))


def chinese(scene: Scene, words: dict[str, str], draws: Iterator[float]) -> str:
    """A Chinese caption, its parts in one of six orders, as in 夜晚海边的红色小房子，水彩画."""
    size, colour, subject = words["size"], words["colour"], words["subject"]
    described = colour + pick(("的", ""), draws) + size  # 红色的小房子, 红色小房子
    thing = (described if colour.endswith("色") else size + colour) + subject  # but 小红房子
    counted = MEASURE_WORDS[scene.subject] + thing
    place, sky, style = words["place"], words["sky"], words["style"]
    side = words["side"] and pick(("在", "位于", "在画面", ""), draws) + words["side"]
    style = style and style + pick(("", "", "", "风格"), draws)
    either = pick((thing, thing, counted), draws)
    of = "的" if sky or place else ""
    order = int(next(draws) * 6)
    if order == 0:  # 夜晚海边的红房子，水彩
        parts = [sky + place + of + either, side, style]
    elif order == 1:  # 海边的红房子，夜晚，水彩
        parts = [place + (place and "的") + either, sky, side, style]
    elif order == 2:  # 水彩，夜晚海边的红房子
        parts = [style, sky + place + of + either, side]
    elif order == 3:  # 夜晚，海边有一座红房子，水彩
        parts = [sky, place + (place and "有") + counted, side, style]
    elif order == 4 and place:  # 红房子在夜晚的海边，水彩
        parts = [either + "在" + sky + (sky and "的") + place, side, style]
    else:  # 红房子，海边，夜晚，水彩
        parts = [either, place, sky, side, style]
    return "，".join(filter(None, parts))


def a(noun: str) -> str:
    """The indefinite article that the noun takes, and a space."""
    return "an " if noun[0] in "aeiou" else "a "


def spaced(*parts: str) -> str:
    return " ".join(filter(None, parts))


COMPOSE: dict[str, Callable[[Scene, dict[str, str], Iterator[float]], str]] = {"en": english, "zh": chinese}
