r"""What a click asks for. It can be typed, and it can be carried out, and both make the same pictures.

>>> order = Order("vary", seed=7, pictures=("house-1.png",), settings={"strength": 0.35})
>>> order.command("pictures", "picturebook")
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

from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.actions import registry as actions
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.prompt.parser import format, jobs
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings, sentence

from minidiffusion.app.history import History, Sheet
from minidiffusion.app.preview import guessed, previews, written

NEW = ("imagine", "write")
"""What begins with words alone: by diffusion, or as tokens."""
N = 4
"""As many pictures as the command makes by default, but of an enlargement one."""
ALONE = 128
"""Models that draw larger than this draw one picture at a time."""
SEEDS = 100_000
"""So many seeds are drawn from, which makes them short: they are to be typed."""
NOTHING = "Choose a picture first."


@dataclass(frozen=True)
class Command:
    r"""An action of `actions.py` and what it is given.

    pictures: names in the history. settings: as the command calls them; a mask is the name of a picture.
    """

    action: str
    seed: int
    pictures: tuple[str, ...] = ()
    prompt: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def command(self, folder: str | Path, weights: str) -> str:
        r"""What to type for the same pictures, in the folder where the studio was started."""
        files = [str(Path(folder, name)) for name in self.pictures]
        options = dict(self.settings)
        if self.action in NEW:
            road = {"model": "tokens"} if self.action == "write" else {}
            return typed("imagine", [self.prompt or ""], weights, **road, seed=self.seed)
        words = [*files, *filter(None, [options.pop("direction", "")])]
        if "mask" in options:
            options["mask"] = str(Path(folder, options["mask"]))
        if self.prompt is not None:
            options["prompt"] = self.prompt
        return typed(self.action, words, weights, **options, seed=self.seed)

    def carry_out(self, model: TextToImage | TokenPipeline, history: History, show: Callable[[Any], None]) -> Sheet:
        r"""The sheet, which is in the history now. Raises ValueError for whatever is wrong with the order.

        model: a Writer, which can only "write", or what can do all the rest. show: called after each step, with
        previews or None.
        """
        seeds = [(self.seed + i) % 2**32 for i in range(1 if self.action == "upscale" else N)]
        if isinstance(model, TokenPipeline):
            writing = TokenSamplingSettings(on_token=previews(show, partial(written, model)))
            return history.save(actions.write(model, self.prompt or "", seeds, writing))
        how, settings = SamplingSettings(on_step=previews(show, partial(guessed, model))), dict(self.settings)
        pictures = [history.picture(name) for name in self.pictures]
        for picture in pictures:
            if max(picture.image.size) > 4 * model.size:
                raise ValueError(
                    f"A picture of {picture.image.width} x {picture.image.height} is too large to go on from."
                )
        if "mask" in settings:
            settings["mask"] = history.picture(settings["mask"]).image.convert("1")
        if self.action == "blend":
            sources = {"pictures": pictures}
        elif self.action == "imagine":
            sources = {}
        else:
            sources = {"picture": pictures[0]}
        prompt = self.prompt if self.action not in ("imagine", "blend") else self.prompt or ""
        drawn = []
        for batch in [seeds] if model.size <= ALONE else [[seed] for seed in seeds]:
            drawn += getattr(actions, self.action)(model, seeds=batch, prompt=prompt, how=how, **sources, **settings)
        return history.save(drawn)


def typed(command: str, words: Sequence[str], weights: str, **options: object) -> str:
    r"""A command, quoted for a shell."""
    if weights != "picturebook":
        options["weights"] = weights
    named = []
    for name, value in options.items():
        named += [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]
    if any(word.startswith("-") for word in words):  # after --, nothing is an option
        return shlex.join(["minidiffusion", command, *named, "--", *words])
    return shlex.join(["minidiffusion", command, *words, *named])


def commands(
    random: Random,
    action: str,
    text: str | None,
    pictures: tuple[str, ...] = (),
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> list[Command]:
    r"""One order for each prompt that the text makes; None is the prompt of the picture itself.

    The seed is what the prompt says, or any. Raises PromptError for what is no prompt, and ValueError for pictures in a
    prompt (the studio opens no files and no addresses that somebody types), where there is no picture to begin with,
    and for what tokens cannot be told.
    """
    if action not in NEW and not pictures:
        raise ValueError(NOTHING)
    if text is None:
        return [Command(action, random.randrange(SEEDS), pictures, None, settings)]
    made = []
    for prompt in jobs(text):
        if prompt.images or prompt.sref:
            raise ValueError("Pictures in a prompt and --sref work on the command line; here, bring and blend them.")
        if action == "write":
            sentence(prompt)
        seed = random.randrange(SEEDS) if prompt.seed is None else prompt.seed
        made.append(Command(action, seed, pictures, format(replace(prompt, seed=None)), settings))
    return made
