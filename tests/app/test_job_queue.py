r"""One model, many people: whose turn it is, and what becomes of a job that nobody wants any more."""

import threading

import pytest

from minidiffusion.app.job_queue import JobQueue, Job, Stopped

PATIENCE = 60.0


class Slow:
    r"""A job that takes a step whenever it is told to."""

    def __init__(self, result: str = ""):
        self.result, self.began, self.step, self.steps = result, threading.Event(), threading.Semaphore(0), 0

    def __call__(self, show):
        self.began.set()
        while self.step.acquire(timeout=PATIENCE) and self.steps < 3:
            self.steps += 1
            show(f"{self.result} {self.steps}")
        return self.result

    def finish(self) -> None:
        self.step.release(4)


def ended(job: Job) -> object:
    return job.result.result(timeout=PATIENCE)


def test_everybody_is_told_how_many_are_before():
    desk = JobQueue()
    works = [Slow(name) for name in "abc"]
    jobs = [desk.ask(work.result, work) for work in works]
    assert works[0].began.wait(PATIENCE)
    assert [next(desk.follow(job)).before for job in jobs[::-1]] == [2, 1, 0] and not works[1].began.is_set()


def test_the_first_comes_first_one_at_a_time_and_everybody_gets_what_is_his():
    desk, works = JobQueue(), [Slow(name) for name in "abc"]
    jobs = [desk.ask(work.result, work) for work in works]
    for work, job in zip(works, jobs, strict=True):
        assert work.began.wait(PATIENCE) and sum(other.began.is_set() for other in works) == works.index(work) + 1
        work.finish()
        assert ended(job) == work.result


def test_the_line_is_bounded_and_nobody_has_two_places():
    desk, work = JobQueue(places=2), Slow()
    first = desk.ask("a", work)
    assert work.began.wait(PATIENCE)
    waiting = [desk.ask(name, lambda show, name=name: name) for name in "bc"]
    with pytest.raises(ValueError, match="3 pictures are being drawn or waiting; please try again"):
        desk.ask("d", work)
    for name in "ab":
        with pytest.raises(ValueError, match="still being worked on"):
            desk.ask(name, work)
    work.finish()
    assert [ended(job) for job in (first, *waiting)] == ["", "b", "c"]
    assert ended(desk.ask("a", lambda show: "again")) == "again"  # at once: what is finished is out of the way


def test_who_waits_leaves_at_once_and_who_is_worked_on_after_the_step():
    desk, work = JobQueue(), Slow()
    first, second, third = desk.ask("a", work), desk.ask("b", lambda show: "never"), desk.ask("c", lambda show: "c")
    assert work.began.wait(PATIENCE)
    desk.stop("b")
    with pytest.raises(Stopped):
        second.result.result(timeout=0)
    desk.stop("a")
    other = desk.ask("a", lambda show: "other")  # even before the step has ended
    work.step.release()
    with pytest.raises(Stopped):
        ended(first)
    assert work.steps == 1 and ended(third) == "c" and ended(other) == "other"


def test_who_stops_listening_gives_up():
    desk, work = JobQueue(), Slow()
    job = desk.ask("a", work)
    listening = desk.follow(job)
    next(listening)
    listening.close()  # as Gradio does when a browser is closed
    work.step.release()
    with pytest.raises(Stopped):
        ended(job)


def test_of_previews_only_the_newest_is_kept_and_each_is_told_once():
    desk, shown, go_on = JobQueue(), threading.Event(), threading.Event()

    def work(show):
        for preview in "abc":
            show(preview)
        shown.set()
        go_on.wait(PATIENCE)

    listening = desk.follow(desk.ask("a", work))
    assert shown.wait(PATIENCE)
    assert [next(listening).preview, next(listening).preview] == ["c", None]
    go_on.set()
    assert [news.preview for news in listening if news.preview] == []


def test_a_mistake_is_the_problem_of_the_asker_and_of_nobody_else():
    desk = JobQueue()

    def wrong(show):
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        ended(desk.ask("a", wrong))
    assert ended(desk.ask("b", lambda show: "fine")) == "fine"
