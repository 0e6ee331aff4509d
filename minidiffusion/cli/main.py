r"""minidiffusion COMMAND ...: a text-to-image system in miniature.

Pictures of a prompt
  imagine "PROMPT"              Four pictures of the prompt, which may be English or Chinese.
  flags                         What a prompt may say besides words: --ar 3:2, --no fog, ...
  book STORY                    A picture book, from a text file.
  icons "PROMPT"                A sheet of what the choices of a prompt make.
  pattern "PROMPT"              A pattern without a seam.
  shorten "PROMPT"              Which words of the prompt matter.

New pictures of pictures
  ACTIONS

About a picture
  again PICTURE                 The same picture, from the record in its file.
  describe PICTURE              What it shows, in words that would be a prompt.
  look PICTURE                  Where the model looked for each word (cross-attention maps).
  clip IMAGE --label "..."      Which sentence fits the picture best.
  search "WORDS" FOLDER         Pictures by words.

The model
  app                           The studio: all of this in a browser.
  train vae|clip|unet|...       Train a network: on the picture book, emoji, or your own pictures.
  evaluate                      Does the model draw what its prompts say? A report with figures.

minidiffusion COMMAND --help explains a command. With --debug (or MINIDIFFUSION_DEBUG=1) an error shows where it arose.
"""

import ast
import io
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from minidiffusion.actions import names
from minidiffusion.errors import UserError, quoted
from minidiffusion.version import __version__

COMMANDS = (
    *("imagine", "flags", "book", "icons", "pattern", "shorten"),
    *("again", "describe", "look", "clip", "search"),
    *("app", "train", "evaluate"),
)


def commands() -> list[str]:
    r"""All commands: those above, and every action that is applied to pictures."""
    return [*COMMANDS, *picture_actions()]


def find(command: str) -> Callable[[Sequence[str]], None]:
    r"""A command as a function of the arguments after it, from a module that is imported only now."""
    match command:
        case "imagine" | "flags":
            from . import imagine as module
        case "book" | "icons" | "pattern":
            from . import applications as module
        case "describe" | "shorten":
            from . import describe as module
        case "clip" | "search":
            from . import clip as module
        case "again":
            from . import again as module
        case "look":
            from . import look as module
        case "train":
            from . import train as module
        case "evaluate":
            from . import evaluate as module
        case "app":
            from . import studio as module
        case action:
            from .action import act

            return partial(act, action)
    return getattr(module, command)


def picture_actions() -> list[str]:
    r"""The actions that are applied to pictures."""
    return [name for name in names() if name not in ("imagine", "write")]


def help_text() -> str:
    r"""The commands, a line or two each; that of an action is the first line of its file."""
    lines = []
    for name in picture_actions():
        usage = f"  {name + ' PICTURE ...':30}"
        lines.append(textwrap.fill(summary(name), 110, initial_indent=usage, subsequent_indent=" " * len(usage)))
    return (__doc__ or "").strip().replace("  ACTIONS", "\n".join(lines))


def summary(action: str) -> str:
    r"""What the file of an action says first, read without importing it, and with it PyTorch."""
    spec = find_spec(f"minidiffusion.actions.{action}")
    assert spec is not None and spec.origin is not None
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) or ""
    return docstring.partition("\n")[0]


def main(argv: Sequence[str] | None = None) -> int:
    r"""Run a command; argv is by default what was typed.

    Returns the exit status: 0; 2 for what the user gave (UserError), 1 for what else can fail without a fault in the
    program (CheckpointError, CommandError), each with one sentence on standard error; 130 for Ctrl-C. Any other
    exception is a fault and is not caught; with --debug, none is.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("MINIDIFFUSION_DEBUG", "0") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show Chinese is no reason to fail
    try:
        run(arguments)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        status = exit_status(error)
        if status is None or debug:
            raise
        print("minidiffusion: " + " ".join(str(error).split()), file=sys.stderr)
        return status
    return 0


def run(arguments: Sequence[str]) -> None:
    match arguments:
        case ["-h" | "--help", *_]:
            print(help_text())
        case ["--version", *_]:
            print(__version__)
        case [command, *rest] if command in commands():
            find(command)(rest)
        case _:
            given = f"{quoted(arguments[0])} is not a command" if arguments else "A command is missing"
            raise UserError(f"{given}; the commands: {', '.join(commands())}.")


def exit_status(error: Exception) -> int | None:
    r"""None for an error that is not to be caught."""
    if isinstance(error, UserError):
        return 2
    from minidiffusion.checkpoint import CheckpointError

    from .options import CommandError

    return 1 if isinstance(error, CheckpointError | CommandError) else None
