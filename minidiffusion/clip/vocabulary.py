r"""OpenAI's vocabulary: the 48,894 merges that every published CLIP and Stable Diffusion 1 read with.

The file lists 262,144 merges, those learnt first first; CLIP uses as many as make 49,408 ids with the 512 bytes and the
two specials. Its tokenizer also mends a text before it splits it; :func:`mend` is that step.
"""

import gzip
import hashlib
import html
from functools import cache
from pathlib import Path

from minidiffusion.checkpoint import CheckpointError, explained

FILE = Path(__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 49_408 - 512 - 2


@cache
def openai_merges() -> tuple[tuple[str, str], ...]:
    r"""The merges, read when they are first asked for. Raises CheckpointError if the file is missing or another."""
    with explained("read", FILE):
        data = FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise CheckpointError(f"{FILE} is damaged: its SHA-256 is not that of OpenAI's vocabulary.")
    lines = gzip.decompress(data).decode("utf-8").split("\n")[1 : 1 + MERGES]  # the first line is a comment
    return tuple((left, right) for left, right in (line.split() for line in lines))


def mend(text: str) -> str:
    r"""Undo what the web does to a text: mojibake, curly quotes and the like (ftfy), then HTML entities, twice.

    Raises ValueError if the package ftfy is not installed.
    """
    try:
        import ftfy  # type: ignore[import-not-found]
    except ImportError:
        raise ValueError("To mend texts as OpenAI does (fix=True), install ftfy: pip install ftfy.") from None
    return html.unescape(html.unescape(ftfy.fix_text(text)))
