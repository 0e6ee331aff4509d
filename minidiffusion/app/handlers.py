r"""Event handlers: what a click or a key does, independent of how the page is made.

A handler gets the event and the values of some components of the page. It is a generator of updates: the name of a
component -> what it shows from now on.

A session, which is one tab of a browser, has two values of its own: the pictures in the gallery ("view") and those that
will be blended ("to_blend"). All else is in the history, which all sessions share.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import partial, wraps
from random import Random
from typing import Any, NamedTuple

from minidiffusion.actions import registry
from minidiffusion.checkpoint import CheckpointError
from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.cross_attention_maps import cross_attention_maps
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline
from minidiffusion.prompt.describe import describe
from minidiffusion.prompt.vocabulary import remarks

from . import html
from .command import NO_OPTIONS, NOTHING_SELECTED, Options, command_line, commands
from .history import History
from .job_queue import Job, JobQueue
from .upload import fit, painted_mask, read_data_url

MOST_ENTRIES = 48  # of the history, on the page
NEW_PICTURES = {"diffusion": "imagine", "tokens": "write"}
"""The kinds of model, and the action that makes pictures of a prompt with each."""

Updates = dict[str, Any]


class Event(NamedTuple):
    r"""An event in a session. data: what the browser says of it, which can be anything."""

    session: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class View:
    r"""The pictures in the gallery, by name; the index of the selected one; and the command line that made them."""

    pictures: tuple[str, ...] = ()
    selected: int = 0
    command: str = ""

    @property
    def selection(self) -> tuple[str, ...]:
        r"""The selected picture, or none."""
        return self.pictures[self.selected : self.selected + 1]


def with_status(handler: Callable[..., Iterator[Updates]]) -> Callable[..., Iterator[Updates]]:
    r"""A handler whose errors become status messages, and during which the button Stop is enabled."""

    @wraps(handler)
    def handle(*arguments: Any) -> Iterator[Updates]:
        yield {"stop": True}
        try:
            yield from handler(*arguments)
        except CancelledError:
            yield {"status": html.status("Stopped.")}
        except (UserError, CheckpointError) as error:
            yield {"status": html.status(str(error), "error")}
        except Exception:
            traceback.print_exc()
            yield {"status": html.status("Internal error; its traceback is in the terminal of the studio.", "error")}
        yield {"stop": False}

    return handle


@dataclass
class Handlers:
    r"""All handlers of the page."""

    model: TextToImage
    token_pipeline: TokenPipeline | None
    weights: str
    """Their name on the command line."""
    history: History
    queue: JobQueue
    random: Random
    """For the seeds of new pictures."""

    # ------------------------------------------------------------------------------------------------------------- jobs

    @with_status
    def imagine(self, event: Event, text: str, kind: str) -> Iterator[Updates]:
        yield from self.draw(event, NEW_PICTURES[kind], text)

    @with_status
    def change(self, action: str, options: Options, event: Event, view: View, text: str) -> Iterator[Updates]:
        r"""Any action on the selected picture. text: a prompt; by default that of the picture."""
        yield from self.draw(event, action, text.strip() or None, view.selection, options)

    @with_status
    def repaint(self, event: Event, view: View, text: str, layer: str) -> Iterator[Updates]:
        r"""layer: the canvas over the picture, as a data URL."""
        mask = painted_mask(read_data_url(layer, "The mask"))
        if not mask.getbbox():
            raise UserError("Paint over the region that will be repainted first.")
        options = {"mask": self.history.add_image(mask, "mask")}
        yield from self.draw(event, "repaint", text.strip() or None, view.selection, options)

    @with_status
    def blend(self, event: Event, to_blend: tuple[str, ...]) -> Iterator[Updates]:
        yield from self.draw(event, "blend", None, to_blend)

    def draw(
        self, event: Event, action: str, text: str | None, pictures: tuple[str, ...] = (), options: Options = NO_OPTIONS
    ) -> Iterator[Updates]:
        r"""A job for each prompt of the text, one after the other."""
        model = self.token_pipeline if registry.find(action).by_tokens else self.model
        if model is None:
            raise UserError("These weights have no token pipeline; the model must be diffusion.")
        for command in commands(self.random, action, text, pictures, options):
            prompts = [command.prompt] if command.prompt else []
            remark = " ".join(remarks(prompts, self.model, of_picturebook=self.weights == "picturebook"))
            job = self.queue.submit(event.session, partial(command.carry_out, model, self.history))
            yield from self.follow(job, remark)
            line = command.command_line(self.history.folder, self.weights)
            view = View(job.result.result().pictures, 0, line)
            yield self.show(view) | self.show_history() | {"status": html.status(remark)}

    def follow(self, job: Job, remark: str = "") -> Iterator[Updates]:
        for progress in self.queue.follow(job):
            state = f"Waiting: position {progress.position} in the queue." if progress.position else "Drawing."
            shown = {} if progress.preview is None else {"gallery": html.preview(progress.preview)}
            yield {"status": html.status(f"{state} {remark}", "busy"), **shown}

    def stop(self, event: Event) -> Iterator[Updates]:
        self.queue.cancel_session(event.session)
        yield {"stop": False}

    @with_status
    def describe(self, event: Event, view: View) -> Iterator[Updates]:
        yield from self.analyse(event, view, "describe", lambda picture: describe(self.model, picture.image))

    @with_status
    def look(self, event: Event, view: View) -> Iterator[Updates]:
        yield from self.analyse(event, view, "look", lambda picture: cross_attention_maps(self.model, picture))

    def analyse(self, event: Event, view: View, command: str, function: Callable[[Picture], Any]) -> Iterator[Updates]:
        if not view.selection:
            raise UserError(NOTHING_SELECTED)
        picture = self.history.picture(view.selection[0])
        job = self.queue.submit(event.session, lambda report: function(picture))
        yield from self.follow(job)
        write = html.captions if command == "describe" else html.attention_maps
        line = command_line(command, [str(self.history.folder / view.selection[0])], self.weights)
        yield {"analysis": write(picture, job.result.result(), line), "status": ""}

    # ---------------------------------------------------------------------------------------------------- without a job

    def select(self, event: Event, view: View) -> Iterator[Updates]:
        r"""A click in the gallery: on a picture, or on a shortcut, which selects its picture as well."""
        index = str(event.data.get("index"))
        if index in map(str, range(len(view.pictures))):
            view = replace(view, selected=int(index))
            yield self.show(view)
            if (shortcut := str(event.data.get("click"))) in html.SHORTCUTS:
                yield from self.change(*html.SHORTCUTS[shortcut], event, view, "")

    @with_status
    def open(self, event: Event) -> Iterator[Updates]:
        r"""An entry of the history."""
        entry = self.history.entry(str(event.data.get("name")))
        first = entry.pictures[0]
        has_record = self.history.picture(first).record is not None
        line = command_line("again", [str(self.history.folder / first)], self.weights) if has_record else ""
        yield self.show(View(entry.pictures, 0, line)) | {"status": ""}

    @with_status
    def upload(self, event: Event) -> Iterator[Updates]:
        image = fit(self.model, read_data_url(event.data.get("picture"), "The picture"))
        yield self.show(View((self.history.add_image(image, "upload"),))) | self.show_history() | {"status": ""}

    def add(self, event: Event, view: View, to_blend: tuple[str, ...]) -> Iterator[Updates]:
        r"""The selected picture, to those that will be blended."""
        names = (*to_blend, *view.selection)
        yield {"to_blend": names, "blend_pictures": html.blend_pictures(names)}

    def clear(self, event: Event) -> Iterator[Updates]:
        yield {"to_blend": (), "blend_pictures": html.blend_pictures(())}

    def insert(self, event: Event, text: str) -> Iterator[Updates]:
        r"""Words that were clicked, into the prompt: after its text, or in its place."""
        words = str(event.data.get("text"))
        yield {"prompt": f"{text} {words}".strip() if event.data.get("click") == "append" else words}

    def show(self, view: View) -> Updates:
        r"""All components that depend on the pictures in the gallery and on which is selected."""
        name = view.selection[0] if view.selection else None
        picture = self.history.picture(name) if name else None
        return {
            "view": view,
            "gallery": html.gallery(view.pictures, view.selected),
            "command": html.command_line(view.command),
            "details": html.details(picture, view.selected),
            "canvas": html.mask_canvas(name, picture.image.size if picture else (0, 0)),
            "analysis": "",
        }

    def show_history(self) -> Updates:
        return {"history": html.history(self.history.entries(MOST_ENTRIES), str(self.history.folder))}

    def load(self, event: Event) -> Iterator[Updates]:
        r"""A browser opens the page."""
        yield self.show(View()) | self.show_history()
