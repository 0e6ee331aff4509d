r"""The language of prompts: what is read, what is refused and with which words, and that nothing is lost on the way."""

import doctest
import importlib
import itertools
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidiffusion.prompt import parser as language
from minidiffusion.prompt.flags import FLAGS, Part, Prompt, flags_help
from minidiffusion.prompt.format import format
from minidiffusion.prompt.lexer import PromptError
from minidiffusion.prompt.parser import expand, jobs, parse


def words(*parts, **flags):
    pairs = [part if isinstance(part, tuple) else (part, 1) for part in parts]
    return Prompt(tuple(Part(text, float(weight)) for text, weight in pairs), **flags)


GOOD = {
    "": Prompt(),
    "  a  red\n\thouse ": words("a red house"),
    "a red house by the sea::2 fog::-.5": words(("a red house by the sea", 2), ("fog", -0.5)),
    "hot:: dog": words("hot", "dog"),
    "hot::": words("hot"),
    "a::1.5 b::0 --tile": words(("a", 1.5), ("b", 0), tile=True),
    "time: 12:30": words("time: 12:30"),
    "红房子::2雾：：-.5": words(("红房子", 2), ("雾", -0.5)),
    "红房子：：雾": words("红房子", "雾"),
    # flags
    "a --ar 3:2 --seed 7 --chaos 30 --no red, rain --stylize 200 --weird 100 --tile": words(
        "a", ar=(3, 2), seed=7, chaos=30, no=("red", "rain"), stylize=200, weird=100, tile=True
    ),
    "a --iw 1.5 --quality 2 --stop 80 --repeat 3 --sref style.png --sw 9 --raw": words(
        "a", iw=1.5, quality=2, stop=80, repeat=3, sref="style.png", sw=9, raw=True
    ),
    "a --aspect 6:4 --c 1 --s 2 --w 3 --q 4 --r 5 --style raw": words(
        "a", ar=(6, 4), chaos=1, stylize=2, weird=3, quality=4, repeat=5, raw=True
    ),
    "a --AR 1:2 --Seed 4294967295 --iw .5 --stop 10": words("a", ar=(1, 2), seed=2**32 - 1, iw=0.5, stop=10),
    "--ar 2:1": Prompt(ar=(2, 1)),
    "a --stylize 100 --chaos 0": words("a"),
    "a —ar 3:2 –seed 1 ——tile": words("a", ar=(3, 2), seed=1, tile=True),
    "海边的红房子，--ar 3：2 —no 红色、雨，雪": words("海边的红房子，", ar=(3, 2), no=("红色", "雨", "雪")),
    "房子--tile": words("房子", tile=True),
    r"a --no a\, b, c": words("a", no=("a, b", "c")),
    '--sref "my style.png" --sw 0': Prompt(sref="my style.png", sw=0),
    # what is no flag
    "sci-fi well--known -5 --5 -- a -ar — b x—y ---tile": words("sci-fi well--known -5 --5 -- a -ar — b x—y ---tile"),
    r"a \--tile \—ar \{b\} c\::2 \\ d\e": words(r"a --tile —ar {b} c::2 \ d\e"),
    # images
    "sheets/cat.png a red house": words("a red house", images=("sheets/cat.png",)),
    '"my cat.JPEG" b.webp': Prompt(images=("my cat.JPEG", "b.webp")),
    r"C:\pictures\cat.png a": words("a", images=(r"C:\pictures\cat.png",)),
    r"a cat.png": words("a cat.png"),
    r"cat\.png is a name": words("cat.png is a name"),
    '"open" sign': words('"open" sign'),
}


@pytest.mark.parametrize("text", GOOD)
def test_what_is_read(text):
    assert parse(text) == GOOD[text]
    assert parse(format(GOOD[text])) == GOOD[text]


WHOLE = "it takes a whole number from"
WEIGHTS = "it takes a number from -100 to 100."
RATIOS = "it takes W:H in whole numbers, from 1:2 to 2:1."
PICTURES = 'it takes a picture (.png .jpg .jpeg .webp .gif .bmp), "in quotes" if its name has spaces.'
BAD = {
    "a --seed": f"--seed is empty; {WHOLE} 0 to 4294967295.",
    "a --seed -1": f"--seed is '-1'; {WHOLE} 0 to 4294967295.",
    "a --seed 4294967296": f"--seed is '4294967296'; {WHOLE} 0 to 4294967295.",
    "a --seed 1_000": f"--seed is '1_000'; {WHOLE} 0 to 4294967295.",
    "a --seed ４": f"--seed is '４'; {WHOLE} 0 to 4294967295.",
    "a --seed " + "9" * 5000: f"--seed is '999999999999...9999999999999'; {WHOLE} 0 to 4294967295.",
    "a --seed 7 by the sea": f"--seed is '7 by the sea'; {WHOLE} 0 to 4294967295.",
    "a --chaos 101": f"--chaos is '101'; {WHOLE} 0 to 100.",
    "a --c 3.0": f"--chaos is '3.0'; {WHOLE} 0 to 100.",
    "a --stylize 1001": f"--stylize is '1001'; {WHOLE} 0 to 1000.",
    "a --weird 3001": f"--weird is '3001'; {WHOLE} 0 to 3000.",
    "a --sw 1001": f"--sw is '1001'; {WHOLE} 0 to 1000.",
    "a --stop 9": f"--stop is '9'; {WHOLE} 10 to 100.",
    "a --repeat 41": f"--repeat is '41'; {WHOLE} 1 to 40.",
    "a --quality 3": "--quality is '3'; it takes 1, 2 or 4.",
    "a --iw 3.1": "--iw is '3.1'; it takes a number from 0 to 3.",
    "a --iw nan": "--iw is 'nan'; it takes a number from 0 to 3.",
    "a --iw .": "--iw is '.'; it takes a number from 0 to 3.",
    "a --ar 5:2": f"--ar is '5:2'; {RATIOS}",
    "a --ar 2:5": f"--ar is '2:5'; {RATIOS}",
    "a --ar 0:0": f"--ar is '0:0'; {RATIOS}",
    "a --ar 1.5:1": f"--ar is '1.5:1'; {RATIOS}",
    "a --ar": f"--ar is empty; {RATIOS}",
    "a --no": "--no is empty; it takes words with commas between.",
    "a --no red,,rain": "--no is 'red,,rain'; it takes words with commas between.",
    "a --tile by the sea": "--tile is 'by the sea'; it takes no value, and words come before all flags.",
    "a --sref style.txt": f"--sref is 'style.txt'; {PICTURES}",
    "a --sref my style.png": f"--sref is 'my style.png'; {PICTURES}",
    "a --s 1 --stylize 2": "--stylize is given twice.",
    "a --raw --style raw": "--raw is given twice.",
    "a --sead 7": r"There is no flag --sead; did you mean --seed? For the dashes themselves, write \--sead.",
    "a —the house": "There is no flag --the; the flags: --ar, --aspect, --seed, --chaos, --c, --no, --stylize, --s, "
    "--raw, --style raw, --weird, --w, --tile, --iw, --sref, --sw, --quality, --q, --stop, --repeat, --r. "
    r"For the dashes themselves, write \—the.",
    "a --style cute": "There is no flag --style; did you mean --stylize or --style raw? "
    r"For the dashes themselves, write \--style.",
    "a::nan b": f"The weight of 'a' is 'nan'; {WEIGHTS}",
    "a::inf": f"The weight of 'a' is 'inf'; {WEIGHTS}",
    "a::1e1": f"The weight of 'a' is '1e1'; {WEIGHTS}",
    "a::2_0": f"The weight of 'a' is '2_0'; {WEIGHTS}",
    "a::100.5": f"The weight of 'a' is '100.5'; {WEIGHTS}",
    "a::dog": f"The weight of 'a' is 'dog'; {WEIGHTS}",
    "a::--tile": f"The weight of 'a' is '--tile'; {WEIGHTS}",
    "雾：：２": f"The weight of '雾' is '２'; {WEIGHTS}",
    "a::" + "9" * 5000: f"The weight of 'a' is '999999999999...9999999999999'; {WEIGHTS}",
    "::2 a": "A part of the prompt is empty; it takes words with single spaces between.",
    "a:: ::2 b": "A part of the prompt is empty; it takes words with single spaces between.",
    "cat.png::2": "A part of the prompt is empty; it takes words with single spaces between.",
    "a::1 b::-1": "The sum of the weights must be more than 0, but is 0.",
    "a::-.5": "The sum of the weights must be more than 0, but is -0.5.",
    "a {b": r"The { at character 3 belongs to choices, which are not written out; for the sign itself, write \{.",
    "x" * 6001: "The prompt has 6001 characters; at most 6000 are read.",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30])
def test_what_is_refused_and_how(text):
    with pytest.raises(PromptError) as refused:
        parse(text)
    assert str(refused.value) == BAD[text]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Prompt(chaos=101), f"--chaos is '101'; {WHOLE} 0 to 100."),
        (lambda: Prompt(ar=(3, 1)), f"--ar is '3:1'; {RATIOS}"),
        (lambda: Prompt(iw=float("nan")), "--iw is 'NaN'; it takes a number from 0 to 3."),
        (lambda: Prompt(images=("cat.txt",)), f"An image is '\"cat.txt\"'; {PICTURES}"),
        (lambda: Prompt(no=("",)), "--no is empty; it takes words with commas between."),
        (lambda: Part(" a"), "A part of the prompt is ' a'; it takes words with single spaces between."),
        (lambda: Part("a", float("inf")), f"The weight of 'a' is 'Infinity'; {WEIGHTS}"),
        (lambda: words(("a", -1)), "The sum of the weights must be more than 0, but is -1."),
    ],
)
def test_a_prompt_that_could_not_be_written_cannot_be_made(make, message):
    with pytest.raises(PromptError) as refused:
        make()
    assert str(refused.value) == message


# ------------------------------------------------------------------------------------------------- there and back again

SIGNS = ["", *'\\{}｛｝,，、:：."-—– \t\u3000aZ7é红。', "--", "--ar", "—no ", "::", "::-.5", ".png", ".JPG", "\\\\"]
STRINGS = st.lists(st.sampled_from(SIGNS), max_size=6).map("".join) | st.text(max_size=6)
TEXTS = STRINGS.map(lambda text: " ".join(text.split()) or "x")
PATHS = STRINGS.map(lambda stem: stem + "x.gif")
WEIGHTED = st.floats(-100, 100) | st.just(1.0) | st.integers(-3, 3).map(float)
VALUES = {
    "ar": st.integers(50, 200).map(lambda width: (width, 100)),
    "seed": st.none() | st.integers(0, 2**32 - 1),
    "chaos": st.integers(0, 100),
    "no": st.lists(TEXTS, max_size=2).map(tuple),
    "stylize": st.integers(0, 1000),
    "raw": st.booleans(),
    "weird": st.integers(0, 3000),
    "tile": st.booleans(),
    "iw": st.floats(0, 3),
    "sref": st.none() | PATHS,
    "sw": st.integers(0, 1000),
    "quality": st.sampled_from([1, 2, 4]),
    "stop": st.integers(10, 100),
    "repeat": st.integers(1, 40),
}


@st.composite
def prompts(draw):  # the fields: beartype, which checks a Prompt, must not throw its dice within a strategy
    parts = draw(st.lists(st.builds(Part, TEXTS, WEIGHTED), max_size=2))
    if sum(part.weight for part in parts) <= 0:
        parts = []
    flags = {name: draw(VALUES[name]) for name in draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=3))}
    return {"parts": tuple(parts), "images": tuple(draw(st.lists(PATHS, max_size=2)))} | flags


@given(prompts())
@settings(max_examples=1000, deadline=None)
def test_every_prompt_can_be_written_and_read(values):
    prompt = Prompt(**values)
    text = format(prompt)
    assert parse(text) == prompt
    assert expand(text) == [text]


def test_the_strategies_know_every_flag():
    assert VALUES.keys() == {row.name for row in FLAGS.values()}


@given(STRINGS)
@settings(max_examples=500, deadline=None)
def test_any_text_is_either_read_or_refused(text):
    try:
        prompt = parse(text)
    except PromptError:
        return
    assert parse(format(prompt)) == prompt


def test_what_is_written_is_short_and_in_the_order_of_the_table():
    assert format(parse("a:: b --q 2 --tile --s 100 --no x,y --c 5")) == "a:: b --chaos 5 --no x, y --tile --quality 2"
    assert format(words(("a", 0.1 + 0.2), ("b", 1e-7))) == "a::0.30000000000000004 b::0.0000001"


# -------------------------------------------------------------------------------------------------------------- choices


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a house", ["a house"]),
        ("{red, blue} house", ["red house", "blue house"]),
        ("{a,b}{c，d}", ["ac", "ad", "bc", "bd"]),
        ("｛红、蓝｝房子 --ar {1:1, 2:1}", [f"{c}房子 --ar {r}" for c in "红蓝" for r in ("1:1", "2:1")]),
        ("{a, {b, {c, d}} e, f}", ["a", "b e", "c e", "d e", "f"]),
        (r"{a\, b, \{c\}} d, e\}", [r"a\, b d, e\}", r"\{c\} d, e\}"]),
        ("a {, small} house", ["a  house", "a small house"]),
        ("a {b} c", ["a b c"]),
    ],
)
def test_choices_are_written_out(text, expected):
    assert expand(text) == expected


TREES = st.recursive(
    st.sampled_from(["a", "b c", "红"]),
    lambda inner: st.lists(st.lists(inner, min_size=1, max_size=2), min_size=1, max_size=3),
    max_leaves=6,
)


def written(tree):
    return tree if isinstance(tree, str) else "{" + ", ".join("".join(map(written, choice)) for choice in tree) + "}"


def meant(tree):
    if isinstance(tree, str):
        return [tree]
    return ["".join(each) for choice in tree for each in itertools.product(*map(meant, choice))]


@given(st.lists(TREES, max_size=3))
@settings(deadline=None)
def test_choices_are_all_combinations(trees):
    expected = ["".join(each) for each in itertools.product(*map(meant, trees))]
    text = "".join(map(written, trees))
    if len(expected) <= language.MOST_JOBS:
        assert expand(text) == expected
    else:
        with pytest.raises(PromptError, match="more than 40 prompts"):
            expand(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {b, {c}", r"The { at character 3 has no partner; for the sign itself, write \{."),
        ("{a {b", r"The { at character 4 has no partner; for the sign itself, write \{."),
        ("a {b} } c", r"The } at character 7 has no partner; for the sign itself, write \}."),
        ("房｛红", r"The ｛ at character 2 has no partner; for the sign itself, write \｛."),
        ("{a,b,c,d,e,f,g}" * 2, "The choices make more than 40 prompts; at most 40 are allowed."),
        ("{" + ",".join("a" * 41) + "}", "The choices make more than 40 prompts; at most 40 are allowed."),
        ("x" * 6001, "The prompt has 6001 characters; at most 6000 are read."),
    ],
    ids=lambda text: text[:20],
)
def test_choices_that_are_refused(text, message):
    with pytest.raises(PromptError) as refused:
        expand(text)
    assert str(refused.value) == message


def test_a_text_is_as_many_jobs_as_its_choices_and_repeats():
    assert jobs("{a, b --repeat 2} --tile") == [words("a", tile=True)] + 2 * [words("b", tile=True)]
    assert len(jobs("{a, b} --repeat 20")) == 40
    with pytest.raises(PromptError) as refused:
        jobs("{a, b} --repeat 21")
    assert str(refused.value) == "Choices and --repeat together make 42 jobs; at most 40 are allowed."


# ------------------------------------------------------------------------------------------------------- time, and help


@pytest.mark.parametrize(
    "text",
    [
        "--x " * 10_000,
        "--tile " * 850,
        "{" * 6000,
        "{" * 3000 + "}" * 3000,
        "{a,b}" * 1200,
        "{" + "a," * 2900 + "}",
        "{a,b,c,d}{e,f,g,h,i}" + "{x}" * 1900,
        "a::" * 2000,
        "a:: " * 1500,
        ":" * 6000,
        "\\" * 6000,
        '"' * 6000,
        '"' + "a.png" * 1199,
        "a.png " * 1000,
        "-" * 6000,
        "--" + "a" * 5998,
        "a --no " + "," * 5990,
        "a --no " + "a," * 2990 + "a",
        "a::" + "1" * 5997,
        "红" * 6000,
    ],
    ids=lambda text: text[:20],
)
def test_hostile_prompts_take_no_time(text):
    start = time.process_time()
    try:
        for prompt in jobs(text):
            format(prompt)
    except PromptError as refused:
        assert len(str(refused)) < 400
    assert time.process_time() - start < 2


def test_the_help_has_every_flag_and_what_it_takes():
    text = flags_help()
    assert all(f"--{name}" in text for name in FLAGS)
    for row in (
        "--chaos, --c: how different the pictures of a grid are\n    takes a whole number from 0 to 100; by default 0",
        "--ar, --aspect: width to height\n    takes W:H in whole numbers, from 1:2 to 2:1; by default 1:1\n",
        "--raw, --style raw: nothing of the house style\n    takes no value, and words come before all flags\n",
        "--no: what to stay away from\n    takes words with commas between\n",
    ):
        assert row in text


def test_the_examples_of_the_documentation():
    failed, tried = doctest.testmod(importlib.import_module("minidiffusion.prompt.parser"))
    assert tried >= 7 and not failed


def test_the_language_needs_no_pytorch():
    code = "import sys, minidiffusion.prompt.parser; sys.exit(bool({'torch', 'numpy', 'PIL'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
