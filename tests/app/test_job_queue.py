r"""The job queue: whose turn it is, and what becomes of a job that is cancelled."""

import threading

import pytest

from minidiffusion.app.job_queue import CancelledError, Job, JobQueue
from minidiffusion.errors import UserError

TIMEOUT = 60.0


class Slow:
    r"""A job that takes a step whenever the test says so."""

    def __init__(self, result: str = ""):
        self.result, self.began, self.step, self.steps = result, threading.Event(), threading.Semaphore(0), 0

    def __call__(self, report):
        self.began.set()
        while self.step.acquire(timeout=TIMEOUT) and self.steps < 3:
            self.steps += 1
            report(f"{self.result} {self.steps}")
        return self.result

    def finish(self) -> None:
        self.step.release(4)


def ended(job: Job) -> object:
    return job.result.result(timeout=TIMEOUT)


def test_every_job_has_a_position():
    queue = JobQueue()
    works = [Slow(name) for name in "abc"]
    jobs = [queue.submit(work.result, work) for work in works]
    assert works[0].began.wait(TIMEOUT)
    assert [next(queue.follow(job)).position for job in jobs[::-1]] == [2, 1, 0] and not works[1].began.is_set()


def test_jobs_run_one_at_a_time_in_order_and_each_has_its_own_result():
    queue, works = JobQueue(), [Slow(name) for name in "abc"]
    jobs = [queue.submit(work.result, work) for work in works]
    for work, job in zip(works, jobs, strict=True):
        assert work.began.wait(TIMEOUT) and sum(other.began.is_set() for other in works) == works.index(work) + 1
        work.finish()
        assert ended(job) == work.result


def test_the_queue_is_bounded_and_a_session_has_one_job():
    queue, work = JobQueue(capacity=2), Slow()
    first = queue.submit("a", work)
    assert work.began.wait(TIMEOUT)
    waiting = [queue.submit(name, lambda report, name=name: name) for name in "bc"]
    with pytest.raises(UserError, match=r"The queue is full: 3 jobs\. Please try again"):
        queue.submit("d", work)
    for name in "ab":
        with pytest.raises(UserError, match="Your last job is not finished"):
            queue.submit(name, work)
    work.finish()
    assert [ended(job) for job in (first, *waiting)] == ["", "b", "c"]
    assert ended(queue.submit("a", lambda report: "again")) == "again"  # at once: what is finished is out of the way


def test_a_waiting_job_is_cancelled_at_once_and_the_running_one_after_its_step():
    queue, work = JobQueue(), Slow()
    first, second = queue.submit("a", work), queue.submit("b", lambda report: "never")
    third = queue.submit("c", lambda report: "c")
    assert work.began.wait(TIMEOUT)
    queue.cancel_session("b")
    with pytest.raises(CancelledError):
        second.result.result(timeout=0)
    queue.cancel_session("a")
    other = queue.submit("a", lambda report: "other")  # even before the step has ended
    work.step.release()
    with pytest.raises(CancelledError):
        ended(first)
    assert work.steps == 1 and ended(third) == "c" and ended(other) == "other"


def test_a_job_that_nobody_follows_any_more_is_cancelled():
    queue, work = JobQueue(), Slow()
    job = queue.submit("a", work)
    following = queue.follow(job)
    next(following)
    following.close()  # as Gradio does when a browser is closed
    work.step.release()
    with pytest.raises(CancelledError):
        ended(job)


def test_of_previews_only_the_newest_is_kept_and_each_is_reported_once():
    queue, reported, go_on = JobQueue(), threading.Event(), threading.Event()

    def function(report):
        for preview in "abc":
            report(preview)
        reported.set()
        go_on.wait(TIMEOUT)

    following = queue.follow(queue.submit("a", function))
    assert reported.wait(TIMEOUT)
    assert [next(following).preview, next(following).preview] == ["c", None]
    go_on.set()
    assert [progress.preview for progress in following if progress.preview] == []


def test_an_error_reaches_the_session_that_submitted_the_job_and_no_other():
    queue = JobQueue()

    def wrong(report):
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        ended(queue.submit("a", wrong))
    assert ended(queue.submit("b", lambda report: "fine")) == "fine"
