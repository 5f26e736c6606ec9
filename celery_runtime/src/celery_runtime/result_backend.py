"""What the part `results` adds to a result backend, whichever it is: where a process may wait, it waits for what is away.

`backends` puts it over the backend that is configured, and `database_results` has more for django-celery-results.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import states
from celery._state import get_current_task
from celery.exceptions import Reject, SoftTimeLimitExceeded
from celery.utils.log import get_logger
from django.utils import timezone

from . import outages
from .broker_errors import broker_error_passes
from .keeper import ask
from .process import ThisProcess
from .versions import holds

if holds("celery<5.7"):
    from .older_results import Backend
else:
    from celery.backends.base import Backend  # type: ignore[no-redef]

logger = get_logger(__name__)

# Errors of a file system that pass: it is full, or isn't mounted now.
PASSING_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOENT, errno.EAGAIN, errno.EROFS}

# Seconds between two attempts: the first pause, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
# For how long a task that is to begin waits for the database (s); then its message goes back to the queue, so that a warm shutdown
# during an outage doesn't last for as long as the outage.
START_TIMEOUT = 60.0
# So long before the hard time limit a result that can't be stored gives up (s): longer than an attempt to connect takes.
MARGIN = 20.0
# Seconds between two lines in the log while the backend is away.
LOG_EVERY = 30.0


class OutOfTime(Exception):
    """The database is away, and the task's time limit comes before it is back."""


def _requeueable() -> bool:
    """Return whether the message of the task that runs here isn't acknowledged yet, so that it can go back to its queue."""
    task = get_current_task()
    return bool(task and task.acks_late and not task.request.is_eager)


def _limits() -> tuple[float | None, float | None]:
    """Return the hard and the soft time limit of the task that runs here (s)."""
    task = get_current_task()
    if not task:
        return None, None
    hard, soft = task.request.timelimit or (None, None)
    # Before Celery 5.7 only the worker knows the limits of the settings.
    of_worker = ThisProcess.limits
    return hard or task.time_limit or of_worker[0], soft or task.soft_time_limit or of_worker[1]


def _begun() -> float:
    return getattr(ThisProcess.task, "begun", None) or time.monotonic()


def _latest_start() -> float:
    """Return when a task that can't be marked as started goes back (monotonic clock): long before one of its limits hits."""
    return _begun() + min([START_TIMEOUT, *(limit / 2 for limit in _limits() if limit)])


def _latest_end() -> float | None:
    """Return when a task goes back whose result can't be stored; None for one that has no limit or is acknowledged already."""
    hard, _ = _limits()
    return _begun() + hard - min(MARGIN, hard / 4) if hard and _requeueable() else None


class Patient(Backend):
    """Stores results where the project wants them, and keeps them while that is away.

    Attributes:
        stock: the class that this one was put over.
        counts_again: whether the end of a part of a chord may be counted twice.
        counts_the_lost: whether one is counted whose process was lost after its result was stored.
        restored: makes one anew that was pickled, of the stock class and its arguments.
    """

    stock: type[Backend]
    restored: Callable[..., Any]
    counts_again = False
    counts_the_lost = False

    def _passes(self, error: BaseException) -> bool:
        """Return whether it is worth to try again later."""
        return (
            outages.passes(error)
            or broker_error_passes(error)
            or (isinstance(error, OSError) and error.errno in PASSING_ERRNOS)
            # What the backend says of its own errors.
            or bool(self.exception_safe_to_retry(error))
        )

    def _renew(self, error: BaseException | None = None) -> bool:
        """Let the next attempt have a new connection; return whether there is sense in another attempt."""
        return not isinstance(error, outages.ERRORS) or outages.close_all()

    @property
    def retry_policy(self) -> Mapping[str, Any]:
        """Return how often a backend tries by itself: once, where it is asked again anyway."""
        policy: Mapping[str, Any] = super().retry_policy
        return {**policy, "max_retries": 0} if ThisProcess.asks_again() else policy

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store a task's state, as soon as its backend takes it.

        Raises:
            Reject: the message goes back to its queue, since the task couldn't begin, or its result couldn't be stored in time.
        """
        store = partial(super().store_result, task_id, result, state, traceback=traceback, request=request, **kwargs)
        if ThisProcess.must_not_wait():
            encoded = self.encode_result(result, state)
            ThisProcess.keeper.store(
                f"the state {state} of the task {task_id}",
                partial(self._store_unless_newer, task_id, encoded, state, traceback, store, request=request, **kwargs),
                self._passes,
            )
            return encoded
        if not ThisProcess.may_wait():
            return store()
        if state == states.STARTED:
            return self._store_start(store, task_id)
        if state == states.RETRY:
            return self._store_retry(store, task_id)
        if state in states.READY_STATES:
            return self._finally(store, f"the state {state} of the task {task_id}")
        return self._retrying(store)

    def _store_unless_newer(
        self,
        task_id: str,
        encoded: Any,
        state: str,
        traceback: Any,
        store: Callable[[], Any],
        arisen: Any = None,
        **kwargs: Any,
    ) -> None:
        """Store a state that arose some time ago, unless another attempt at the task has stored one since."""
        with ThisProcess.asking_again():
            if arisen and self._stored_since(task_id, arisen):
                logger.info("task %s has a newer state", task_id)
            elif hasattr(self, "_store_result"):
                self._store_result(task_id, encoded, state, traceback, **kwargs)
            else:
                store()

    def _stored_since(self, task_id: str, when: datetime, ready: bool = False) -> bool:  # noqa: ARG002 (of others only the end has a time)
        """Return whether a state of a task was stored since then, or whether it has come to its end since then."""
        if not hasattr(self, "_get_task_meta_for"):
            return False
        done = self._get_task_meta_for(task_id).get("date_done")
        with suppress(TypeError, ValueError):
            done = datetime.fromisoformat(done) if isinstance(done, str) else done
            return bool(done >= when)
        return False

    def _store_start(self, store: Callable[[], Any], task_id: str) -> Any:
        """Mark a task as started: the gate before its code, which it only passes while its backend is there."""
        ThisProcess.task.until = _latest_start()
        try:
            return self._retrying(store)
        except (OutOfTime, SoftTimeLimitExceeded) as reason:
            if _requeueable():
                logger.warning(
                    "the result backend is away; task %s goes back to its queue before it has begun", task_id
                )
                raise Reject(reason, requeue=True) from reason
            if isinstance(reason, SoftTimeLimitExceeded):
                raise
            logger.warning("the result backend is away; task %s isn't marked as started", task_id)
            return None
        finally:
            ThisProcess.task.until = None

    def _store_retry(self, store: Callable[[], Any], task_id: str) -> Any:
        """Mark a task as retried. Its next attempt is in the queue already, so this is given up when time is short.

        One that had to wait must not take the place of what its next attempt came to meanwhile.
        """
        begun = timezone.now() - timedelta(seconds=time.monotonic() - _begun())

        def unless_ended() -> Any:
            if self._stored_since(task_id, begun, ready=True):
                logger.info("task %s has come to its end meanwhile", task_id)
                return None
            return store()

        ThisProcess.task.until = _latest_end()
        try:
            return self._retrying(unless_ended)
        except (OutOfTime, SoftTimeLimitExceeded):
            logger.warning("the result backend is away; task %s isn't marked as retried", task_id)
            return None
        finally:
            ThisProcess.task.until = None

    def _finally(self, store: Callable[[], Any], what: str) -> Any:
        """Store what a task came to. Its work is done, so the soft time limit has nothing to end any more.

        Raises:
            Reject: the hard limit is near. It would make a failure of a task that was done; done again is the lesser evil.
        """
        ThisProcess.task.until = _latest_end()
        try:
            while True:
                try:
                    return self._retrying(store)
                except SoftTimeLimitExceeded:
                    logger.warning(
                        "soft time limit while the result backend is waited for; %s is still to be stored", what
                    )
                    self._renew()
        except OutOfTime as reason:
            logger.error("the result backend is away; %s isn't stored, and its message goes back to the queue", what)
            raise Reject(reason, requeue=True) from reason
        finally:
            ThisProcess.task.until = None

    def _ensure_retryable(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do something with the backend, for as long as this place may wait for it.

        Raises:
            OutOfTime: the time that the caller has set has come.
        """
        if not ThisProcess.may_wait() and not ThisProcess.must_not_wait():
            return super()._ensure_retryable(func, *args, **kwargs)
        for name in ("fallback_exc", "fallback_msg", "max_retries"):
            kwargs.pop(name, None)
        if ThisProcess.must_not_wait():
            return ask(partial(func, *args, **kwargs))
        return self._retrying(partial(func, *args, **kwargs))

    def _retrying(self, func: Callable[[], Any]) -> Any:
        if ThisProcess.asks_again():
            return func()
        begun = time.monotonic()
        pause, logged = FIRST_PAUSE, 0.0
        while True:
            try:
                with ThisProcess.asking_again():
                    return func()
            except Exception as error:
                # Inside a transaction of the task's own nothing can be mended: it has failed as a whole.
                if not self._passes(error) or not self._renew(error):
                    raise
                now = time.monotonic()
                until = getattr(ThisProcess.task, "until", None)
                if until and now + pause > until:
                    raise OutOfTime(f"no result backend for {now - begun:.0f} s: {error}") from error
                if not logged or now - logged > LOG_EVERY:
                    logger.warning("the result backend is away, waiting: %s", error)
                    logged = now
            self._sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (not for secrets)
            pause = min(pause * 2, LONGEST_PAUSE)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Count a finished part of a chord, as soon as its backend is there, where a second count does no harm."""
        self._count(partial(super().on_chord_part_return, request, state, result, **kwargs), request)

    def _count(self, count: Callable[[], Any], request: Any) -> None:
        what = f"the end of task {request.id} as part of its chord"
        if ThisProcess.must_not_wait() and self.counts_again:
            ThisProcess.keeper.store(what, lambda **_: count(), self._passes)
        elif ThisProcess.may_wait() and self.counts_again:
            self._finally(count, what)
        else:
            count()

    def _fail_chain(self, *args: Any, **kwargs: Any) -> None:
        """Mark the rest of a chain as failed, which asks the backend, too."""
        fail = partial(super()._fail_chain, *args, **kwargs)
        if ThisProcess.must_not_wait():
            ThisProcess.keeper.store("the failure of a chain", lambda **_: fail(), self._passes)
        else:
            fail()

    def __reduce__(self, *args: Any, **kwargs: Any) -> Any:
        """Let it be made anew of the stock class: a pickle can't name one that was made at run time."""
        _, (_, *rest) = super().__reduce__(*args, **kwargs)
        return self.restored, (self.stock, *rest)
