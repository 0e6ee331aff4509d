r"""The one kind of error that is shown without a traceback, and how it quotes what was typed."""

import json


class UserError(ValueError):
    r"""What a user gave cannot be used. The message is one sentence: what was given, and what is valid.

    The command line prints it and ends with status 2; the studio shows it next to the prompt. Any other exception is a
    fault of the program (or of the machine) and keeps its traceback.
    """


def quoted(text: str) -> str:
    r"""What somebody typed, for a message: in quotes, without control characters, and not longer than a line."""
    return json.dumps(text if len(text) <= 60 else text[:60] + "...", ensure_ascii=False)
