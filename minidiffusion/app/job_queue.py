r"""One model, many people: jobs wait in a line, one is worked on, and whoever gave up leaves the line.

PyTorch uses all cores for one picture, so two at once would only make both late: there is one thread that works. The
line is short, because a wait that nobody would sit through is better refused. A person, known by what the browser calls
itself, has at most one job, so that nobody fills the line alone.

A job is a function that gets `show`. It calls it between its steps with something to look at, or with None, and it is
there that a job which nobody wants any more ends, by an exception.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

LOOK = 0.25
"""Seconds after which somebody who waits looks up."""


class Stopped(Exception):
    r"""The job was not finished, because it was given up."""


class News(NamedTuple):
    r"""How it stands with a job: how many are before it (0: it is being worked on), and what is new to see."""

    before: int
    preview: Any


class Job:
    r"""A function, and whose it is."""

    def __init__(self, owner: str, work: Callable[[Callable[[Any], None]], Any]):
        self.owner, self.work = owner, work
        self.result: Future[Any] = Future()
        self.given_up = False
        self.preview: Any = None
        self.news = threading.Event()

    def show(self, preview: Any) -> None:
        r"""Only the newest preview is kept. Raises Stopped if the job was given up."""
        if self.given_up:
            raise Stopped
        if preview is not None:
            self.preview = preview
            self.news.set()

    def run(self) -> None:
        try:
            self.show(None)
            self.result.set_result(self.work(self.show))
        except BaseException as error:
            self.result.set_exception(error)
        self.news.set()


class JobQueue:
    r"""places: how many may wait."""

    def __init__(self, places: int = 16):
        self.places = places
        self.line: deque[Job] = deque()  # its head is being worked on
        self.changed = threading.Condition()
        threading.Thread(target=self.work, name="studio", daemon=True).start()

    def ask(self, owner: str, work: Callable[[Callable[[Any], None]], Any]) -> Job:
        r"""Put a job in the line. Raises ValueError if the line is full, or has a job of the same owner."""
        with self.changed:
            if any(job.owner == owner and not (job.given_up or job.result.done()) for job in self.line):
                raise ValueError("Your last wish is still being worked on: wait for it, or stop it.")
            if len(self.line) > self.places:
                raise ValueError(f"{len(self.line)} pictures are being drawn or waiting; please try again in a moment.")
            job = Job(owner, work)
            self.line.append(job)
            self.changed.notify()
            return job

    def follow(self, job: Job) -> Iterator[News]:
        r"""How it stands with a job, again and again, until it is finished; whoever stops listening gives it up."""
        try:
            while not job.result.done():
                job.news.clear()
                preview, job.preview = job.preview, None
                yield News(self.before(job), preview)
                if not job.result.done():
                    job.news.wait(LOOK)
        finally:
            self.give_up(job)

    def before(self, job: Job) -> int:
        with self.changed:
            return self.line.index(job) if job in self.line else 0

    def give_up(self, job: Job) -> None:
        r"""A job that waits leaves the line at once, one that is worked on at its next step."""
        with self.changed:
            job.given_up = True
            if job in list(self.line)[1:]:
                self.line.remove(job)
                job.result.set_exception(Stopped())
                job.news.set()

    def stop(self, owner: str) -> None:
        r"""Give up what this owner has in the line, if anything."""
        with self.changed:
            for job in [job for job in self.line if job.owner == owner]:
                self.give_up(job)

    def work(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.line)
                job = self.line[0]
            job.run()
            with self.changed:
                self.line.popleft()
