r"""An action and its arguments. As a command line and as a job of the studio it makes the same pictures.

>>> command = Command("vary", seed=7, pictures=("house-1.png",), options={"strength": 0.35})
>>> command.command_line("pictures", "picturebook")
'minidiffusion vary pictures/house-1.png --strength 0.35 --seed 7'
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from minidiffusion.actions import registry
from minidiffusion.errors import UserError
from minidiffusion.pipelines.batches import batches
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline, words_of
from minidiffusion.prompt.flags import Prompt
from minidiffusion.prompt.format import format
from minidiffusion.prompt.parser import jobs

from .history import Entry, History
from .preview import latent_preview, preview_callback, token_preview

SEEDS = 100_000  # random seeds are below, so that they are short enough to be typed
LARGEST = 4  # times the size of the model: a side of the pictures that an action is applied to
NOTHING_SELECTED = "Select a picture first."
Options = Mapping[str, Any]
NO_OPTIONS: Options = MappingProxyType({})


@dataclass(frozen=True)
class Command:
    r"""An action of `actions/` and its arguments.

    pictures: their names in the history. prompt: None is that of the picture. options: what the action reads from a
    file, such as a mask, is here the name of a picture in the history.
    """

    action: str
    seed: int
    pictures: tuple[str, ...] = ()
    prompt: Prompt | None = None
    options: Options = field(default_factory=dict)

    def command_line(self, folder: str | Path, weights: str) -> str:
        r"""What makes the same pictures in a terminal, in the directory where the studio was started."""
        action = registry.find(self.action)
        words, options = [str(Path(folder, name)) for name in self.pictures], {}
        for name, value in self.options.items():
            option = action.parameters[name].option
            value = Path(folder, value) if option.read else value
            if option.positional:
                words.append(str(value))
            else:
                options[name] = value
        if not self.pictures:
            words.append(format(self.prompt or Prompt()))
        elif self.prompt is not None:
            options["prompt"] = format(self.prompt)
        if action.by_tokens:
            return command_line("imagine", words, weights, model="tokens", **options, seed=self.seed)
        return command_line(self.action, words, weights, **options, seed=self.seed)

    def carry_out(self, model: TextToImage | TokenPipeline, history: History, report: Callable[[Any], None]) -> Entry:
        r"""The pictures, which are in the history now. Raises UserError for whatever is wrong with the arguments.

        report: called after each step, with previews or None.
        """
        action = registry.find(self.action)
        pictures, prompt = action.read([history.picture(name) for name in self.pictures], self.prompt)
        for picture in pictures:
            if (longest := max(picture.image.size)) > LARGEST * model.size:
                raise UserError(f"A picture must have at most {LARGEST * model.size} pixels a side, got {longest}.")
        options = dict(self.options)
        for name in options:
            if read := action.parameters[name].option.read:
                options[name] = read(str(history.path(options[name])))
        if isinstance(model, TokenPipeline):
            decode, size = partial(token_preview, model), (model.size, model.size)
        else:
            decode, size = partial(latent_preview, model), model.sides_of(prompt.ar)
        settings = SamplingSettings(on_step=preview_callback(report, decode))
        seeds = [(self.seed + i) % 2**32 for i in range(action.n)]
        drawn = []
        for batch in batches(seeds, *size):
            drawn += action(model, pictures, batch, prompt, settings, **options)
        return history.add(drawn)


def command_line(command: str, words: Sequence[str], weights: str, **options: object) -> str:
    r"""The command with its arguments, quoted for a shell."""
    if weights != "picturebook":
        options["weights"] = weights
    named = []
    for name, value in options.items():
        named += [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]
    if any(word.startswith("-") for word in words):  # after --, nothing is an option
        return shlex.join(["minidiffusion", command, *named, "--", *words])
    return shlex.join(["minidiffusion", command, *words, *named])


def commands(
    random: Random, action: str, text: str | None, pictures: tuple[str, ...] = (), options: Options = NO_OPTIONS
) -> list[Command]:
    r"""One command for each prompt of a text, which is parsed here; None is the prompt of the picture itself.

    The seed is that of the prompt, or random. Raises PromptError for a text that is not valid, and UserError for too
    few or too many pictures, for pictures in the prompt (the studio opens no files and no addresses that somebody
    types) and for what the token pipeline cannot do.
    """
    (low, high), by_tokens = registry.find(action).pictures, registry.find(action).by_tokens
    if not low <= len(pictures) <= high:
        wanted = f"{action} needs {low} to {high} pictures, got {len(pictures)}."
        raise UserError(NOTHING_SELECTED if high == 1 else wanted)
    if text is None:
        return [Command(action, random.randrange(SEEDS), pictures, None, options)]
    made = []
    for prompt in jobs(text):
        if prompt.images or prompt.sref:
            raise UserError("Pictures in a prompt and --sref work on the command line only; here, upload and blend.")
        if by_tokens:
            words_of(prompt)
        seed = random.randrange(SEEDS) if prompt.seed is None else prompt.seed
        made.append(Command(action, seed, pictures, replace(prompt, seed=None), options))
    return made
