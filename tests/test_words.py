r"""Words that a reader cannot search for do not stand in the code or on its pages (CONTRIBUTING.md, "Plain words").

Read are docstrings, comments and messages of the library, the kernels and the benchmarks, and the pages in Markdown.
Names of functions and files, and what stands between backticks, are not.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from tests.test_project import ROOT, tracked

PRIVATE = {  # a regular expression -> what the field says
    r"hills?": "mode, density, barrier",
    r"way back|roads?": "reverse process; system, model, path",
    r"way in": "entry point, public API",
    r"the whole way|'s way to|ways (between|from)|the way of one": "trajectory, path",
    r"(this|the|our) house": "library, project",
    r"(this|these|every|each|all|one|two|only|other) rooms?|the rooms|a room imports": "package, folder, layer",
    r"doors?": "request filter, entry point",
    r"desks?": "job queue",
    r"last wish(es)?": "last job",
    r"told(?! apart)": "conditioned, asked, given, encoded",
    r"likeness(es)?": "similarity",
    r"obedien(ce|t)": "prompt adherence, accuracy",
    r"shall": "must, will",
    r"greys": "grey levels",
    r"none any more": "none left",
    r"who knows nothing": "without knowledge",
    r"million million": "10^12",
    r"valid (are|is)": "must be",
    r"says nothing (to|without)": "has no effect, needs",
    r"(the|at most|from|after|up to) so many|so many (are|for|rows|pictures)": "how many, n, the k",
    r"data address(es)?|address(es)? that holds?": "data URL",
    r"strangers?": "untrusted input",
    r"glides?|a push": "trajectory, momentum",
    r"shaken": "with noise",
    r"other eyes?": "image encoder",
    r"six hands": "six styles",
    r"patients?": "the article's listing",
    r"witness(es)?": "detector",
    r"impostors?": "baselines",
    r"what belongs there": "detail",
}

ORDINARY = [  # files, and what is meant there as it stands
    ("minidiffusion/picturebook/*", r"hills?|doors?|the house"),  # things in the pictures
    ("*", r"the house style"),  # of a publisher, and of --stylize
    ("benchmarks/mcmc.py", r"hills"),  # a row of results/mcmc.csv
]

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "kernels/README.md"]
FOLDERS = ("minidiffusion/", "kernels/", "benchmarks/", "examples/", "docs/")


def word(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE)


ANY = word("|".join(PRIVATE))


def texts(name: str, source: str) -> Iterator[tuple[int, str]]:
    r"""(line, text): everything in a file that is read by people rather than by a computer."""
    if name.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield node.lineno, node.value
    elif name.endswith((".js", ".css")):
        for comment in re.finditer(r"//.*|/\*.*?\*/", source, re.DOTALL if name.endswith(".css") else 0):
            yield 1 + source[: comment.start()].count("\n"), comment[0]
    else:
        yield 1, source


def private_words(name: str, source: str) -> list[str]:
    r"""Each private word of a file: where it stands, and what the field says instead."""
    found = []
    for line, text in texts(name, source):
        if not ANY.search(text):
            continue
        text = re.sub(r"`[^`\n]*`|\]\([^)\s]*\)|\b[\w/]+\.(py|csv|png|md)\b", "", text)
        for files, ordinary in ORDINARY:
            if fnmatchcase(name, files):
                text = word(ordinary).sub("", text)
        for pattern, instead in PRIVATE.items():
            for match in word(pattern).finditer(text):
                where = f"{name}:{line + text[: match.start()].count(chr(10))}"
                found.append(f"{where}: {match[0]!r}; the field's words: {instead}")
    return found


def test_the_project_speaks_in_words_that_can_be_searched():
    files = [name for name in tracked() if name in PAGES or name.startswith(FOLDERS)]
    files = [name for name in files if name in PAGES or name.endswith((".py", ".js", ".css"))]
    found = [hit for name in files for hit in private_words(name, (ROOT / name).read_text(encoding="utf-8"))]
    assert found == [], "\n".join(found)


PLANTED = [
    ("minidiffusion/a.py", 'r"""Up the slope of the hill.\n\nAnd down."""\n'),
    ("minidiffusion/a.py", "x = 1  # the door of the studio\n"),
    ("minidiffusion/a.py", 'raise ValueError(f"The drafts are {n}; valid are 1 to {m}.")\n'),
    ("minidiffusion/app/a.js", "let a = 1;  // one desk for all\n"),
    ("minidiffusion/app/a.css", "/* as the page\nis told */\n"),
    ("README.md", "Two roads, one exam.\n"),
]


@pytest.mark.parametrize(("name", "source"), PLANTED)
def test_a_planted_word_is_found_with_its_line(name, source):
    assert len(private_words(name, source)) == 1
    below = private_words(name, f"\n\n{source}")
    assert [hit.partition(": ")[0] for hit in below] == [f"{name}:{3 + (name == 'minidiffusion/app/a.css')}"]


def test_names_code_and_ordinary_uses_are_left_alone():
    fine = 'r"""The `desk` of `roads.py`, two parts told apart, the house style."""\ndef door(): hills = "hills"\n'
    assert private_words("minidiffusion/a.py", fine) == []
    assert private_words("minidiffusion/picturebook/places.py", "# the hills behind the house\n") == []
    assert len(private_words("minidiffusion/data/toy.py", "# the hills behind the house\n")) == 2
    assert private_words("README.md", "[figures](results/roads.png), `python benchmarks/roads.py`\n") == []
