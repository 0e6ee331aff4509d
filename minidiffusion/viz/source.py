r"""Showing the code that a lesson talks about."""

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path


def show_source(thing: Callable | type) -> None:
    r"""Shows the source of a function or class as it stands in its file: what a lesson talks about is what runs.

    Of an action (`minidiffusion.actions`) it is the function under the decorator.
    """
    from IPython.display import Markdown, display  # only notebooks have it

    thing = inspect.unwrap(getattr(thing, "draw", thing))  # type checks are wrapped around it while tests run
    lines, start = inspect.getsourcelines(thing)
    path = Path(inspect.getsourcefile(thing) or "")
    room = Path(*path.parts[path.parts.index(thing.__module__.partition(".")[0]) :])
    display(Markdown(f"`{room.as_posix()}`, line {start}\n\n```python\n{textwrap.dedent(''.join(lines)).strip()}\n```"))
