r"""All actions by name, and `again`, which repeats what a record says."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import PIL.Image

from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture, Record, pixel_hash
from minidiffusion.pipelines.settings import SamplingSettings

from . import names
from .action import Action


@cache
def find(name: str) -> Action:
    r"""The action of that name. Raises UserError if there is none."""
    if name not in names():
        raise UserError(f"There is no action {name!r:.60}; the actions: {', '.join(names())}.")
    return getattr(import_module(f"minidiffusion.actions.{name}"), name)


def again(model: Any, record: Record, brought: Sequence[PIL.Image.Image] = (), other: Any = None) -> Picture:
    r"""The picture of a record, made anew, from the first ancestor on.

    model: a `TextToImage` or a `TokenPipeline`. brought: pictures from elsewhere that it, or an ancestor, was made
    from. other: the other model, if some ancestors were made by it. Raises UserError if a picture is missing, for an
    unknown action or option, and if the weights are not those that made it.
    """
    action = find(record.action)
    makers = [each for each in (model, other) if each is not None and each.by_tokens == action.by_tokens]
    makers = [each for each in makers if each.weights_hash == record.weights]
    if not makers:
        raise UserError("The picture was made by other weights than these.")
    foreign = {pixel_hash(image): image for image in brought}
    sources = []
    for source in record.sources:
        if isinstance(source, Record):
            sources.append(again(model, source, brought, other))
        elif source in foreign:
            sources.append(Picture(foreign[source], None))
        else:
            raise UserError(f"It was made from a picture from elsewhere, which is missing (SHA-256 {source[:12]}...).")
    try:
        options = unpacked(action, record)
        settings = settings_of(record, action)
        (picture,) = action(makers[0], sources, [record.seed], record.prompt, settings, **options)
    except TypeError as error:  # a value of another type than the action takes
        raise UserError(f"The record does not fit the action {record.action!r}: {error}") from error
    return picture


def unpacked(action: Action, record: Record) -> dict[str, Any]:
    r"""The options of a record as the action takes them."""
    parameters = action.parameters
    return {
        name: unpack(value) if name in parameters and (unpack := parameters[name].option.unpack) else value
        for name, value in record.settings.items()
        if value is not None
    }


def settings_of(record: Record, action: Action) -> SamplingSettings:
    r"""A token pipeline has no sampler; its record names "tokens" in that place."""
    if action.by_tokens:
        return SamplingSettings(guidance=record.guidance)
    return SamplingSettings(record.steps, record.guidance, record.sampler)  # type: ignore[arg-type]  # checked there
