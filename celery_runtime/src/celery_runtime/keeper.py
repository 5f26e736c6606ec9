"""Stores results for a worker's main process, which must not wait for the result backend.

What does so is a thread, and the main process forks children beside it. A lock that the thread has at that moment, such as one inside of
SQLite or OpenSSL, would be taken in the child for ever, and its first use of the database would hang (Python's documentation of os.fork
warns of it). So a fork waits until the thread is out of such code, as long as the main process waits for a result.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery.utils.log import get_logger
from django.utils import timezone

from .outages import close_all

logger = get_logger(__name__)

# Seconds that the main process gives an operation, so that a result is normally stored before its message is acknowledged.
TIMEOUT = 1.0
# Seconds between two attempts while the result backend is away.
PAUSE = 1.0
# So long (s) a fork waits for a thread that is in the code of others.
FORK_TIMEOUT = 1.0
# So many results are kept at most: a worker doesn't take its host's memory because the result backend is away. The oldest go first.
LIMIT = 10_000


class Forks:
    """Keeps forks of this process out of what its threads do: used as a context by a thread, and by each fork on its own."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._reset)

    def _reset(self) -> None:
        # In a child, too: the threads that may be inside, or have this lock, aren't there.
        self._changed = threading.Condition()
        self._inside = self._wanted = 0

    @property
    def wanted(self) -> bool:
        """Tell whether a fork waits for those inside."""
        return self._wanted > 0

    def __enter__(self) -> None:
        """Begin what no fork may fall into."""
        with self._changed:
            self._changed.wait_for(lambda: not self._wanted)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        """End it."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def _before(self) -> None:
        # A backend that gives no answer keeps its thread longer. It then waits for the network, and hardly with a lock that a child needs.
        with self._changed:
            self._wanted += 1
            self._changed.wait_for(lambda: not self._inside, FORK_TIMEOUT)

    def _after(self) -> None:
        with self._changed:
            self._wanted -= 1
            self._changed.notify_all()


_forks = Forks()


@dataclass
class Job:
    """Something to store.

    Attributes:
        what: says what it is in a log, with the task's id, and without the result, which may be confidential.
        passes: tells of an error whether it passes.
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
    passes: Callable[[BaseException], bool]
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
            if self.passes(error):
                self.late = True
                raise
            self.error = error
        self.done.set()


class Keeper:
    """Does jobs in order in a thread of its own, and tries each until the result backend takes it."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def store(self, what: str, run: Callable[..., Any], passes: Callable[[BaseException], bool]) -> Any:
        """Store something, now or as soon as the result backend is back; return what `run` returned, if that was at once.

        Raises:
            Exception: it can never be stored.
        """
        job = Job(what, run, passes)
        with self._changed:
            behind = bool(self._jobs)
            if len(self._jobs) >= LIMIT:
                logger.error(
                    "the result backend is away; %s is given up, since %s others wait too",
                    self._jobs.popleft().what,
                    LIMIT,
                )
            self._jobs.append(job)
            self._changed.notify()
            if not self._thread:
                self._thread = threading.Thread(target=self._work, name="results", daemon=True)
                self._thread.start()
        if behind or not job.done.wait(TIMEOUT):
            job.late = True
            logger.warning("the result backend is away; %s is stored when it is back", what)
        if job.error:
            raise job.error
        return job.result

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs)
            with _forks:
                try:
                    is_away = self._drain()
                finally:
                    # A child must not inherit a connection.
                    close_all()
            if is_away:
                time.sleep(PAUSE)

    def _drain(self) -> bool:
        """Do jobs until none is left, or a fork waits; return whether the next has to wait for the result backend."""
        while self._jobs and not _forks.wanted:
            job = self._jobs[0]
            try:
                job.attempt()
            except Exception as error:
                logger.debug("%s: %r", job.what, error)
                return True
            if job.error:
                logger.error("%s can't be stored: %r", job.what, job.error)
            elif job.late:
                logger.info("%s is stored", job.what)
            with self._changed:
                if self._jobs and self._jobs[0] is job:
                    self._jobs.popleft()
                self._changed.notify_all()
        return False

    def finish(self, timeout: float) -> None:
        """Wait until all is stored, for so many seconds at most, and name what isn't."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._jobs, timeout):
                for job in self._jobs:
                    logger.error("the worker ends and the result backend is away: %s is lost", job.what)


def ask(run: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
    """Return what a question to the result backend returns, asked in a thread of its own since it may hang.

    Raises:
        TimeoutError: no answer within `timeout` seconds.
        Exception: what the question raised.
    """
    answer: dict[str, Any] = {}

    def work() -> None:
        with _forks:
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
        raise TimeoutError("the result backend gives no answer")
    if "error" in answer:
        raise answer["error"]
    return answer["result"]
