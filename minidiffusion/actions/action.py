r"""The type of all actions: a function that draws, and what can be read off its signature.

    @action
    def vary(model, picture, prompt, seeds, settings, *, strength: Annotated[float, Option("...", 0, 1)] = 0.7):
        ...
        return x

    model      a TextToImage, or a TokenPipeline (`by_tokens`)
    picture    what it is applied to, a Picture; or `pictures`, as many as the decorator allows
    prompt     a Prompt, which is parsed; by default that of the picture
    seeds      one number for each result
    settings   SamplingSettings
    x          `b 3 H W` in [-1, 1], one picture a seed

`vary(model, picture, seeds, strength=0.5)` is then an action: its options are checked, and each result has a record.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.settings import DEFAULTS, SamplingSettings
from minidiffusion.prompt.flags import Prompt
from minidiffusion.prompt.parser import parse

MANY = 1000
"""More pictures than anybody hands over."""


@dataclass(frozen=True)
class Option:
    r"""What is known of an option besides its type and default.

    low, high: its range. positional: on the command line it stands after the picture, without its name. read: from what
    is typed there. pack, unpack: to the plain values of a record, and back.
    """

    help: str
    low: int | float | None = None
    high: int | float | None = None
    positional: bool = False
    read: Callable[[str], Any] | None = None
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[Any], Any] | None = None

    def check(self, name: str, kind: Any, value: Any) -> None:
        r"""Raises UserError, naming what is valid, for a value out of range or of another kind."""
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                raise UserError(f"{name} must be one of {', '.join(map(str, get_args(kind)))}, got {value!r:.60}.")
        elif self.low is not None and self.high is not None and value is not None:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not self.low <= value <= self.high:
                raise UserError(f"{name} must be between {self.low:g} and {self.high:g}, got {value!r:.60}.")


@dataclass(frozen=True)
class Parameter:
    r"""An option of an action: its name, type, default (`inspect.Parameter.empty` if there is none), and the rest."""

    name: str
    type: Any
    default: Any
    option: Option


@dataclass(frozen=True)
class Action:
    r"""A drawing function that checks its options and gives its results their records."""

    draw: Callable[..., Any]
    pictures: tuple[int, int]
    """The least and the most pictures that it is applied to."""
    n: int = 4
    """How many results make sense unless somebody says otherwise."""
    buttons: Mapping[str, Mapping[str, Any]] | None = None
    """label -> options: its buttons in the studio; None is one button that bears its name."""
    by_tokens: bool = False
    """Whether it needs a `TokenPipeline`; else a `TextToImage`."""

    @property
    def name(self) -> str:
        return self.draw.__name__

    @property
    def help(self) -> str:
        return inspect.getdoc(self.draw) or ""

    @property
    def of_one_picture(self) -> bool:
        return self.pictures == (1, 1)

    @property
    def parameters(self) -> dict[str, Parameter]:
        r"""Its options by name, from the keyword-only parameters of the function."""
        hints = get_type_hints(self.draw, include_extras=True)
        found = {}
        for name, each in inspect.signature(self.draw).parameters.items():
            if each.kind is inspect.Parameter.KEYWORD_ONLY:
                kind, option = get_args(hints[name])
                found[name] = Parameter(name, kind, each.default, option)
        return found

    def check(self, options: Mapping[str, Any]) -> None:
        r"""Raises UserError for an option that is unknown, missing or out of range."""
        parameters = self.parameters
        for name in options.keys() - parameters.keys():
            valid = ", ".join(parameters) or "none"
            raise UserError(f"{self.name} has no option {name!r:.60}; its options: {valid}.")
        for name, each in parameters.items():
            if name in options:
                each.option.check(name, each.type, options[name])
            elif each.default is inspect.Parameter.empty:
                raise UserError(f"{self.name} needs the option {name}.")

    def read(
        self, pictures: Picture | Sequence[Picture], prompt: str | Prompt | None = None
    ) -> tuple[list[Picture], Prompt]:
        r"""What it is applied to, and the prompt: by default that of the picture, if it is one alone.

        Raises UserError for another number of pictures, and for a prompt that is not valid here (`read_prompt`).
        """
        sources = [pictures] if isinstance(pictures, Picture) else list(pictures)
        low, high = self.pictures
        if not low <= len(sources) <= high:
            wanted = f"{low} to {high}" if low < high else f"{low}"
            raise UserError(f"{self.name} is applied to {wanted} pictures, got {len(sources)}.")
        prompt = "" if prompt is None and not self.of_one_picture else prompt
        return sources, read_prompt(prompt, sources[0] if low > 0 else None)

    def __call__(
        self,
        model: Any,
        pictures: Picture | Sequence[Picture],
        seeds: Sequence[int],
        prompt: str | Prompt | None = None,
        settings: SamplingSettings = DEFAULTS,
        **options: Any,
    ) -> list[Picture]:
        r"""The results with their records, one a seed. prompt: by default that of the picture, if it is one alone.

        Raises UserError for options out of range, another number of pictures, and as the function itself does.
        """
        sources, prompt = self.read(pictures, prompt)
        self.check(options)
        parameters = self.parameters
        options = {name: each.default for name, each in parameters.items()} | options
        applied_to = sources[0] if self.of_one_picture else sources
        x = self.draw(model, applied_to, prompt, seeds, settings, **options)
        packed = {
            name: pack(value) if (pack := parameters[name].option.pack) and value is not None else value
            for name, value in options.items()
        }
        return model.with_records(self.name, x, prompt, seeds, settings, packed, sources)


def action(
    draw: Callable[..., Any] | None = None,
    *,
    pictures: tuple[int, int] = (1, 1),
    n: int = 4,
    buttons: Mapping[str, Mapping[str, Any]] | None = None,
    by_tokens: bool = False,
) -> Any:
    r"""Make an `Action` of a function; arguments as of its fields."""

    def make(draw: Callable[..., Any]) -> Action:
        return Action(draw, pictures, n, buttons, by_tokens)

    return make if draw is None else make(draw)


def read_prompt(prompt: str | Prompt | None, picture: Picture | None = None) -> Prompt:
    r"""The prompt, parsed; None means the picture's own, without its image prompts and --sref.

    Raises UserError if the prompt names images or --sref although there is already a picture to work on.
    """
    if prompt is None:
        own = parse(picture.record.prompt if picture and picture.record else "")
        return replace(own, images=(), sref=None)
    prompt = parse(prompt) if isinstance(prompt, str) else prompt
    if picture is not None and (prompt.images or prompt.sref):
        raise UserError("Only a new picture can look at others; this prompt may name none, and have no --sref.")
    return prompt
