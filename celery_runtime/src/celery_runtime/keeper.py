"""Stores results for a worker's main process, which must not wait for the database."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery.utils.log import get_logger
from django.utils import timezone

from .outages import close_all, passes

logger = get_logger(__name__)

# Seconds that the main process gives an operation, so that a result is normally in the database before its message is acknowledged.
TIMEOUT = 1.0
# Seconds between two attempts while the database is away.
PAUSE = 1.0
# So many results are kept at most: a worker doesn't take its host's memory because the database is away. The oldest go first.
LIMIT = 10_000


@dataclass
class Job:
    """Something to store.

    Attributes:
        what: says what it is in a log, with the task's id, and without the result, which may be confidential.
        run: stores it. Its argument `arisen` is the time at which the job arose, or None at the first attempt: what somebody else has
            stored since is newer and stays.
        arisen: when the job arose.
        late: whether the main process has gone on without it.
        done: set when it is stored or given up.
        result: what `run` returned.
        error: why it was given up.
    """

    what: str
    run: Callable[..., Any]
    arisen: Any = field(default_factory=timezone.now)
    late: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: Exception | None = None

    def attempt(self) -> None:
        """Do it, or remember why it can never be done.

        Raises:
            Exception: it can be done later.
        """
        try:
            self.result = self.run(arisen=self.arisen if self.late else None)
        except Exception as error:
            if passes(error):
                self.late = True
                raise
            self.error = error
        self.done.set()


class Keeper:
    """Does jobs in order in a thread of its own, and tries each until the database takes it."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def store(self, what: str, run: Callable[..., Any]) -> Any:
        """Store something, now or as soon as the database is back; return what `run` returned, if that was at once.

        Raises:
            Exception: it can never be stored.
        """
        job = Job(what, run)
        with self._changed:
            behind = bool(self._jobs)
            if len(self._jobs) >= LIMIT:
                logger.error(
                    "the database is away; %s is given up, since %s others wait too", self._jobs.popleft().what, LIMIT
                )
            self._jobs.append(job)
            self._changed.notify()
            if not self._thread:
                self._thread = threading.Thread(target=self._work, name="results", daemon=True)
                self._thread.start()
        if behind or not job.done.wait(TIMEOUT):
            job.late = True
            logger.warning("the database is away; %s is stored when it is back", what)
        if job.error:
            raise job.error
        return job.result

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
                job = self._jobs[0]
            try:
                job.attempt()
            except Exception as error:
                logger.debug("%s: %r", job.what, error)
                close_all()
                time.sleep(PAUSE)
                continue
            if job.error:
                logger.error("%s can't be stored: %r", job.what, job.error)
            elif job.late:
                logger.info("%s is stored", job.what)
            with self._changed:
                if self._jobs and self._jobs[0] is job:
                    self._jobs.popleft()
                if not self._jobs:
                    # A child that is forked now must not inherit a connection.
                    close_all()
                self._changed.notify_all()

    def finish(self, timeout: float) -> None:
        """Wait until all is stored, for so many seconds at most, and name what isn't."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._jobs, timeout):
                for job in self._jobs:
                    logger.error("the worker ends and the database is away: %s is lost", job.what)


def ask(run: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
    """Return what a question to the database returns, asked in a thread of its own since it may hang.

    Raises:
        TimeoutError: no answer within `timeout` seconds.
        Exception: what the question raised.
    """
    answer: dict[str, Any] = {}

    def work() -> None:
        try:
            answer["result"] = run()
        except Exception as error:
            answer["error"] = error
        finally:
            close_all()

    thread = threading.Thread(target=work, name="results-question", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise TimeoutError("the database gives no answer")
    if "error" in answer:
        raise answer["error"]
    return answer["result"]
