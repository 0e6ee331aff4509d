r"""OpenAI's vocabulary: the 48,894 merges of every published CLIP and of Stable Diffusion 1.

The file lists 262,144 merges, in the order learnt; CLIP uses as many as make 49,408 ids with the 512 bytes and the two
special tokens. Its tokenizer also repairs a text before splitting it; :func:`mend` is that step.
"""

import gzip
import hashlib
import html
from functools import cache
from pathlib import Path

from minidiffusion.checkpoint import CheckpointError, explained
from minidiffusion.errors import UserError

FILE = Path(__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 49_408 - 512 - 2


@cache
def openai_merges() -> tuple[tuple[str, str], ...]:
    r"""The merges, read at the first call. Raises CheckpointError if the file is missing or damaged."""
    with explained("read", FILE):
        data = FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise CheckpointError(f"{FILE} is damaged: its SHA-256 is not that of OpenAI's vocabulary.")
    lines = gzip.decompress(data).decode("utf-8").split("\n")[1 : 1 + MERGES]  # the first line is a comment
    return tuple((left, right) for left, right in (line.split() for line in lines))


def mend(text: str) -> str:
    r"""Repair a text from the web: mojibake, curly quotes and the like (ftfy), then HTML entities, twice.

    Raises UserError if the package ftfy is not installed.
    """
    try:
        import ftfy  # type: ignore[import-not-found]
    except ImportError:
        raise UserError("Repairing texts as OpenAI does (fix=True) needs the package ftfy: pip install ftfy.") from None
    return html.unescape(html.unescape(ftfy.fix_text(text)))
