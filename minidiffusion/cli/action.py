r"""A command for every file of `actions/` that is applied to pictures: `minidiffusion NAME PICTURE ...`.

Its options are those of all commands that draw (`Drawing`) and those of the action, read off its signature
(`Action.parameters`). So a new action is a command as well, and nothing here knows its name.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, make_dataclass
from inspect import Parameter as Signature
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .draw import Drawing, Job, draw
from .options import parse

if TYPE_CHECKING:
    from minidiffusion.actions.action import Action, Parameter


@dataclass(frozen=True, kw_only=True)
class PictureAction(Drawing):
    pictures: tyro.conf.Positional[tuple[str, ...]]
    prompt: str | None = None
    """What to draw; by default the prompt of the picture, if it is one alone and has a record."""


def act(name: str, arguments: Sequence[str]) -> None:
    r"""The command of the action of that name."""
    from minidiffusion.actions.registry import find
    from minidiffusion.images.png import open_picture
    from minidiffusion.prompt.parser import jobs

    action = find(name)
    options = parse(options_of(action), name, arguments)
    prompts = [None] if options.prompt is None else jobs(options.prompt)  # parsed before anything slow
    given = {each.name: value_of(each, options) for each in action.parameters.values()}
    pictures = [open_picture(path) for path in options.pictures]
    draw(options, action, [Job(action.read(pictures, prompt)[1], pictures) for prompt in prompts], given)


def options_of(action: "Action") -> type[PictureAction]:
    r"""The dataclass of the command's options; its docstring is the action's."""
    kind, metavar = (tuple[str], "PICTURE") if action.of_one_picture else (tuple[str, ...], "PICTURE PICTURE ...")
    files = tyro.conf.arg(metavar=metavar, help="A file or an address; made here, or from elsewhere.")
    number = tyro.conf.arg(help="How many pictures, 1 to 64.")
    rows = [
        ("pictures", Annotated[tyro.conf.Positional[kind], files], field()),
        ("n", Annotated[int, number], field(default=action.n)),
        *(row_of(each) for each in action.parameters.values()),
    ]
    made = make_dataclass(action.name, rows, bases=(PictureAction,), frozen=True, kw_only=True)
    made.__doc__ = action.help
    return made


def row_of(parameter: "Parameter") -> tuple[str, Any, Any]:
    r"""The field of the dataclass for an option: (name, type, default)."""
    option = parameter.option
    text = option.help[:1].upper() + option.help[1:] + "."
    if option.low is not None and option.high is not None:
        text += f" Valid: {option.low:g} to {option.high:g}."
    kind: Any = str if option.read else parameter.type  # it is read from what is typed
    if option.positional:
        kind = tyro.conf.Positional[kind]
    default = MISSING if parameter.default is Signature.empty else parameter.default
    return parameter.name, Annotated[kind, tyro.conf.arg(help=text)], field(default=default)


def value_of(parameter: "Parameter", options: PictureAction) -> Any:
    value = getattr(options, parameter.name)
    return parameter.option.read(value) if parameter.option.read and isinstance(value, str) else value
