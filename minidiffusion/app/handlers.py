r"""What happens when something on the page is clicked, without a word about how the page is made.

Every method is a click: it gets whose it is, what the browser says about it, and what stands in some parts of the page,
and it yields, once or again and again, what parts of the page show from now on: {name of the part: what it shows}.

A visit has two values of its own: which pictures are on the stage ("view"), and which are to be blended ("to_blend").
All else is in the history, which everybody shares.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from random import Random
from typing import Any

from minidiffusion.images.record import Picture
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.describe import describe
from minidiffusion.pipelines.cross_attention_maps import cross_attention_maps
from minidiffusion.prompt.parser import parse
from minidiffusion.pipelines.token_to_image import TokenPipeline
from minidiffusion.prompt.vocabulary import remarks

from minidiffusion.app import html
from minidiffusion.app.job_queue import JobQueue, Job, Stopped
from minidiffusion.app.history import History
from minidiffusion.app.command import NOTHING, Command, commands, typed
from minidiffusion.app.upload import fitted, read_upload, region

SHOWN = 48
"""How many sheets of the history are on the page."""
MOST_TO_BLEND = 5
ROADS = {"diffusion": "imagine", "tokens": "write"}
"""The two kinds of model, and what new pictures by each are called."""
SHORTCUTS: dict[str, tuple[str, dict[str, Any]]] = {"U": ("upscale", {}), "V": ("vary", {"strength": 0.7})}

Shown = dict[str, Any]
Told = Mapping[str, Any]
"""What a browser says about a click; whatever it says, it may be anything."""


@dataclass(frozen=True)
class View:
    r"""The pictures on the stage, by name; which is chosen; and the command that made them."""

    pictures: tuple[str, ...] = ()
    chosen: int = 0
    command: str = ""

    @property
    def choice(self) -> tuple[str, ...]:
        r"""The chosen picture, or none."""
        return self.pictures[self.chosen : self.chosen + 1]


def careful(click: Callable[..., Iterator[Shown]]) -> Callable[..., Iterator[Shown]]:
    r"""A click that ends with a sentence if it cannot be finished, and during which there is something to stop."""

    @wraps(click)
    def clicked(*given: Any) -> Iterator[Shown]:
        yield {"stop": True}
        try:
            yield from click(*given)
        except Stopped:
            yield {"say": html.say("Stopped.")}
        except ValueError as error:
            yield {"say": html.say(str(error), "bad")}
        except Exception:
            traceback.print_exc()
            yield {"say": html.say("Something went wrong in the studio; its terminal says what.", "bad")}
        yield {"stop": False}

    return clicked


class Handlers:
    r"""writer: None if the weights have no tokens. weights: what they are called on the command line. random: for the
    seeds of new pictures.
    """

    def __init__(
        self, model: TextToImage, writer: TokenPipeline | None, weights: str, history: History, desk: JobQueue, random: Random
    ):
        self.model, self.writer, self.weights = model, writer, weights
        self.history, self.desk, self.random = history, desk, random

    # ------------------------------------------------------------------------------------------------- making pictures

    @careful
    def imagine(self, owner: str, told: Told, text: str, road: str) -> Iterator[Shown]:
        yield from self.draw(owner, ROADS[road], text)

    @careful
    def change(self, action: str, settings: Told, owner: str, told: Told, view: View, text: str) -> Iterator[Shown]:
        r"""text: a prompt for the new pictures; nothing is that of the chosen one."""
        yield from self.draw(owner, action, text.strip() or None, view.choice, settings)

    @careful
    def repaint(self, owner: str, told: Told, view: View, text: str, layer: str) -> Iterator[Shown]:
        r"""layer: what was painted over the picture."""
        mask = region(read_upload(layer, "The region"))
        if not mask.getbbox():
            raise ValueError("Paint over what should be drawn anew first.")
        settings = {"mask": self.history.keep(mask, "mask")}
        yield from self.draw(owner, "repaint", text.strip() or None, view.choice, settings)

    @careful
    def blend(self, owner: str, told: Told, to_blend: tuple[str, ...]) -> Iterator[Shown]:
        yield from self.draw(owner, "blend", None, to_blend)

    def draw(
        self, owner: str, action: str, text: str | None, pictures: tuple[str, ...] = (), settings: Told | None = None
    ) -> Iterator[Shown]:
        r"""One sheet after the other, for all that the text asks for."""
        model = self.writer if action == "write" else self.model
        if model is None:
            raise ValueError("These weights have no tokens; what they can do is diffusion.")
        for order in commands(self.random, action, text, pictures, settings or {}):
            remark = self.remark(order)
            job = self.desk.ask(owner, lambda show, order=order: order.carry_out(model, self.history, show))
            yield from self.follow(job, remark)
            command = order.command(self.history.folder, self.weights)
            view = View(job.result.result().pictures, 0, command)
            yield {**self.stage(view), **self.shelf(), "say": html.say(remark)}

    def follow(self, job: Job, remark: str = "") -> Iterator[Shown]:
        for news in self.desk.follow(job):
            place = f"{news.before} before you." if news.before else "Drawing."
            stage = {} if news.preview is None else {"stage": html.live(news.preview)}
            yield {"say": html.say(f"{place} {remark}", "busy"), **stage}

    def remark(self, order: Command) -> str:
        prompt = parse(order.prompt or "")
        return " ".join(remarks([prompt], self.model, of_picturebook=self.weights == "picturebook"))

    def stop(self, owner: str, told: Told) -> Iterator[Shown]:
        self.desk.stop(owner)
        yield {"stop": False}

    # -------------------------------------------------------------------------------------------------- telling of one

    @careful
    def describe(self, owner: str, told: Told, view: View) -> Iterator[Shown]:
        yield from self.tell(owner, view, "describe", lambda picture: describe(self.model, picture.image))

    @careful
    def look(self, owner: str, told: Told, view: View) -> Iterator[Shown]:
        yield from self.tell(owner, view, "look", lambda picture: cross_attention_maps(self.model, picture))

    def tell(self, owner: str, view: View, command: str, ask: Callable[[Picture], Any]) -> Iterator[Shown]:
        if not view.choice:
            raise ValueError(NOTHING)
        picture = self.history.picture(view.choice[0])
        job = self.desk.ask(owner, lambda show: ask(picture))
        yield from self.follow(job)
        write = html.captions if command == "describe" else html.maps
        command = typed(command, [str(self.history.folder / view.choice[0])], self.weights)
        yield {"told": write(picture, job.result.result(), command), "say": ""}

    # ------------------------------------------------------------------------------------------------ choosing pictures

    def choose(self, owner: str, told: Told, view: View) -> Iterator[Shown]:
        r"""A click on the stage: a picture, or a button below, which also chooses."""
        n = str(told.get("n"))
        if n in map(str, range(len(view.pictures))):
            view = replace(view, chosen=int(n))
            yield self.stage(view)
            if (shortcut := str(told.get("do"))) in SHORTCUTS:
                yield from self.change(*SHORTCUTS[shortcut], owner, told, view, "")

    @careful
    def open(self, owner: str, told: Told) -> Iterator[Shown]:
        r"""A sheet of the history."""
        sheet = self.history.sheet(str(told.get("name")))
        first = sheet.pictures[0]
        ours = self.history.picture(first).record is not None
        command = typed("again", [str(self.history.folder / first)], self.weights) if ours else ""
        yield {**self.stage(View(sheet.pictures, 0, command)), "say": ""}

    @careful
    def bring(self, owner: str, told: Told) -> Iterator[Shown]:
        r"""A picture from elsewhere, made as large as those that the model draws."""
        image = fitted(self.model, read_upload(told.get("picture"), "The picture"))
        yield {**self.stage(View((self.history.keep(image, "brought"),))), **self.shelf(), "say": ""}

    def add(self, owner: str, told: Told, view: View, to_blend: tuple[str, ...]) -> Iterator[Shown]:
        names = (*to_blend, *view.choice)[:MOST_TO_BLEND]
        yield {"to_blend": names, "tray": html.tray(names)}

    def empty(self, owner: str, told: Told) -> Iterator[Shown]:
        yield {"to_blend": (), "tray": html.tray(())}

    def write(self, owner: str, told: Told, text: str) -> Iterator[Shown]:
        r"""Words that were clicked, into the prompt: after what is there, or in its place."""
        words = str(told.get("words"))
        yield {"prompt": f"{text} {words}".strip() if told.get("do") == "add" else words}

    # --------------------------------------------------------------------------------------------------- what is shown

    def stage(self, view: View) -> Shown:
        r"""All that depends on which pictures are on the stage, and which of them is chosen."""
        name = view.choice[0] if view.choice else None
        picture = self.history.picture(name) if name else None
        return {
            "view": view,
            "stage": html.stage(view.pictures, view.chosen),
            "typed": html.typed(view.command),
            "about": html.about(picture, view.chosen),
            "canvas": html.canvas(name, picture.image.size if picture else (0, 0)),
            "told": "",
        }

    def shelf(self) -> Shown:
        return {"past": html.past(self.history.sheets(SHOWN), str(self.history.folder))}

    def arrive(self, owner: str, told: Told) -> Iterator[Shown]:
        r"""Somebody opens the page."""
        yield {**self.stage(View()), **self.shelf()}
