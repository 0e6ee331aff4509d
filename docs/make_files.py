r"""Write docs/FILES.md, the list of all files: a line each, from the first sentence of a Python file's docstring.

    make docs-files

Files that are not Python have their line in `OTHERS`. A test compares the page with what this writes.
"""

import ast
import re
import subprocess
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "FILES.md"

OTHERS = {
    "README.md": "what this is, and where everything is",
    "CONTRIBUTING.md": "how to change something: an action, a test, a lesson",
    "CHANGELOG.md": "what changed, and which names",
    "CITATION.cff": "how to cite",
    "LICENSE": "MIT",
    "Makefile": "imagine, test, lessons, lint, bench, weights and the rest; `make help` lists them",
    "pyproject.toml": "the package, its extras, the settings of pytest, ruff and pyright",
    "constraints.txt": "the exact versions that are tested",
    ".gitignore": "what git leaves alone",
    ".ci/run": "everything that must pass before a change lands, in parts",
    ".github/workflows/ci.yml": "the same on GitHub, a job for each part",
    "docs/FILES.md": "this page",
    "docs/contact_sheet.png": "48 prompts and their pictures",
    "docs/digits.png": "64 digits that the model of digits drew",
    "docs/studio.png": "the studio in a browser",
    "benchmarks/README.md": "the questions, what a row says, and what was found",
    "benchmarks/results/*": "what each benchmark measured",
    "kernels/README.md": "what is proven about the kernels, how, and what no GPU has confirmed yet",
    "lessons/README.md": "the course: how to work through a lesson, and the map",
    "lessons/NOTATION.md": "symbols, their shapes and their names in the code",
    "lessons/CHEATSHEET.md": "every schedule, prediction, loss and sampler on one page",
    "lessons/??_*.ipynb": "the lessons, executed: what students open",
    "lessons/exercises/*.py": "the exercises of each lesson, with inputs and likely mistakes",
    "lessons/wrong/*.py": "wrong answers that the checks of each lesson must explain",
    "minidiffusion/app/page.css": "the style sheet of the page",
    "minidiffusion/app/page.js": "clicks on pictures and words, and the clipboard",
    "minidiffusion/app/paint.js": "painting the mask of a region",
    "minidiffusion/app/upload.js": "uploading a picture, made small in the browser first",
    "minidiffusion/clip/bpe_simple_vocab_16e6.txt.gz": "OpenAI's byte-pair merges",
    "minidiffusion/clip/bpe_simple_vocab_16e6.LICENSE.md": "their licence (MIT)",
    "minidiffusion/data/digits.npz": "the digits (Alpaydin & Kaynak 1998, UCI, CC BY 4.0)",
    "minidiffusion/data/emoji.xz": "the emoji, 32 x 32 (Noto Emoji, Apache 2.0; names from Unicode CLDR)",
    "minidiffusion/data/EMOJI_NOTICE.md": "the licences of the emoji, and what was changed",
    "minidiffusion/weights/*/README.md": "the model card",
    "minidiffusion/weights/*/model.json": "which files belong together, with their SHA-256",
    "minidiffusion/weights/*/training/*": "how each network was trained: log and settings",
    "minidiffusion/weights/*/*evaluation.json": "the figures of the model card",
    "minidiffusion/weights/*/*.json": "the settings of a network, or the tokenizer",
    "minidiffusion/weights/*/*.safetensors": "the weights of a network",
    "minidiffusion/py.typed": "tells type checkers that the package is typed",
    "kernels/minidiffusion_kernels/py.typed": "tells type checkers that the package is typed",
}
"""pattern -> line. Of several patterns, the first that fits counts; the files of one pattern share its line."""


def tracked() -> list[str]:
    r"""The files that git has or would have, so that the answer is the same before a commit and after it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({name for name in listed if (ROOT / name).exists()} | {"docs/FILES.md"})


def entry(name: str) -> tuple[str, str]:
    r"""The file, or the pattern that it fits, and what it is. Raises ValueError for a file that nothing describes."""
    for pattern, line in OTHERS.items():
        if fnmatchcase(name, pattern):
            return pattern, line
    text = (ROOT / name).read_text(encoding="utf-8") if name.endswith(".py") else ""
    if docstring := ast.get_docstring(ast.parse(text)):
        return name, first_sentence(docstring)
    if title := re.match(r"# %% \[markdown\]\n# # (.+)", text):
        return name, f"lesson {title[1]}"
    if name.endswith("/__main__.py"):
        return name, f"`python -m {name.removesuffix('/__main__.py').replace('/', '.')}`"
    module = re.sub(r"^tests/(.*?)test_(\w+\.py)$", r"\1\2", name)
    if module != name and (ROOT / "minidiffusion" / module).exists():
        return name, f"tests of {module}"
    raise ValueError(f"{name} has no docstring, and no line in docs/make_files.py.")


def first_sentence(docstring: str) -> str:
    r"""Up to the first full stop, question or exclamation mark that a capital letter or a backtick follows, or nothing.

    A full stop at its end is dropped.
    """
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    sentence = re.match(r".*?[.?!](?= [A-Z`]|$)|.*", paragraph)
    return sentence[0].removesuffix(".") if sentence else ""


def page() -> str:
    r"""The whole page, in Markdown: a list for each folder."""
    files = tracked()
    entries = sorted({entry(name) for name in files}, key=lambda each: each[0].rpartition("/"))
    lines = ["# Every file", "", "Written by `make docs-files`. The [README](../README.md) has the folders."]
    for folder, group in groupby(entries, key=lambda each: each[0].rpartition("/")[0]):
        lines += ["", f"## {folder or 'The project'}", ""]
        for path, line in group:
            name = path.rpartition("/")[2]
            lines.append(f"- [{name}](../{path}): {line}" if path in files else f"- `{name}`: {line}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
