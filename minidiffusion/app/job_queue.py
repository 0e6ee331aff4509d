r"""A job queue: one model for many users, first come, first served; the job of a user who leaves is cancelled.

PyTorch uses all cores for one picture, so two at once would only make both late: one thread works. The queue is short,
because a wait that nobody would sit through is better refused. A session, which is one tab of a browser, has at most
one job, so that nobody fills the queue alone.

A job is a function of `report`. It calls that between its steps with a preview, or with None, and a job that was
cancelled ends there, by an exception.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, NamedTuple

from minidiffusion.errors import UserError

INTERVAL = 0.25
"""Seconds after which the progress of a job is reported again, if nothing happens before."""


class Progress(NamedTuple):
    r"""How far a job is. position: how many jobs are before it in the queue; 0 is running. preview: only if new."""

    position: int
    preview: Any


class Job:
    r"""A function, the session that submitted it, and its result."""

    def __init__(self, session: str, function: Callable[[Callable[[Any], None]], Any]):
        self.session, self.function = session, function
        self.result: Future[Any] = Future()
        self.cancelled = False
        self.preview: Any = None
        self.changed = threading.Event()

    def report(self, preview: Any) -> None:
        r"""Only the newest preview is kept. Raises CancelledError if the job was cancelled."""
        if self.cancelled:
            raise CancelledError
        if preview is not None:
            self.preview = preview
            self.changed.set()

    def run(self) -> None:
        try:
            self.report(None)
            self.result.set_result(self.function(self.report))
        except BaseException as error:
            self.result.set_exception(error)
        self.changed.set()


class JobQueue:
    r"""Jobs in the order in which they run, in a thread of their own. capacity: how many may wait."""

    def __init__(self, capacity: int = 16):
        self.capacity = capacity
        self.jobs: deque[Job] = deque()  # the first is running
        self.changed = threading.Condition()
        threading.Thread(target=self.work, name="job queue", daemon=True).start()

    def submit(self, session: str, function: Callable[[Callable[[Any], None]], Any]) -> Job:
        r"""Put a job in the queue. Raises UserError if the queue is full, or has a job of the same session."""
        with self.changed:
            if any(job.session == session and not (job.cancelled or job.result.done()) for job in self.jobs):
                raise UserError("Your last job is not finished; wait for it, or stop it.")
            if len(self.jobs) > self.capacity:
                raise UserError(f"The queue is full: {len(self.jobs)} jobs. Please try again in a moment.")
            job = Job(session, function)
            self.jobs.append(job)
            self.changed.notify()
            return job

    def follow(self, job: Job) -> Iterator[Progress]:
        r"""The progress of a job until it is finished. A caller that stops reading cancels the job."""
        try:
            while not job.result.done():
                job.changed.clear()
                preview, job.preview = job.preview, None
                with self.changed:
                    position = self.jobs.index(job) if job in self.jobs else 0
                yield Progress(position, preview)
                if not job.result.done():
                    job.changed.wait(INTERVAL)
        finally:
            self.cancel(job)

    def cancel(self, job: Job) -> None:
        r"""A job that waits leaves the queue at once; the running one ends after its current step."""
        with self.changed:
            job.cancelled = True
            if job in list(self.jobs)[1:]:
                self.jobs.remove(job)
                job.result.cancel()
                job.changed.set()

    def cancel_session(self, session: str) -> None:
        r"""Cancel the jobs of a session, if it has any."""
        with self.changed:
            for job in [job for job in self.jobs if job.session == session]:
                self.cancel(job)

    def work(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.jobs)
                job = self.jobs[0]
            job.run()
            with self.changed:
                self.jobs.popleft()
