"""The result backend of the part `results`: django-celery-results, which waits for its database where it may."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from celery import states
from celery._state import get_current_task
from celery.exceptions import Reject, SoftTimeLimitExceeded
from celery.utils.log import get_logger
from django.db import router
from django.utils import timezone
from django_celery_results.backends import DatabaseBackend as StockBackend

from .chords import count_part
from .keeper import ask
from .outages import close, passes
from .process import ThisProcess

logger = get_logger(__name__)

# Seconds between two attempts: the first pause, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
# For how long a task that is to begin waits for the database (s); then its message goes back to the queue, so that a warm shutdown
# during an outage doesn't last for as long as the outage.
START_TIMEOUT = 60.0
# So long before the hard time limit a result that can't be stored gives up (s): longer than an attempt to connect takes.
MARGIN = 20.0
# Seconds between two lines in the log while the database is away.
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
    return hard or task.time_limit, soft or task.soft_time_limit


def _begun() -> float:
    return getattr(ThisProcess.task, "begun", None) or time.monotonic()


def _latest_start() -> float:
    """Return when a task that can't be marked as started goes back (monotonic clock): long before one of its limits hits."""
    return _begun() + min([START_TIMEOUT, *(limit / 2 for limit in _limits() if limit)])


def _latest_end() -> float | None:
    """Return when a task goes back whose result can't be stored; None for one that has no limit or is acknowledged already."""
    hard, _ = _limits()
    return _begun() + hard - min(MARGIN, hard / 4) if hard and _requeueable() else None


class DatabaseBackend(StockBackend):
    """Stores results in Django's database, and keeps them through its outages."""

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store a task's state, as soon as the database takes it.

        Raises:
            Reject: the message goes back to its queue, since the task couldn't begin, or its result couldn't be stored in time.
        """
        if ThisProcess.must_not_wait():
            encoded = self.encode_result(result, state)
            store = partial(self._store_unless_newer, task_id, encoded, state, traceback, request=request, **kwargs)
            ThisProcess.keeper.store(f"the state {state} of the task {task_id}", store)
            return encoded
        store = partial(super().store_result, task_id, result, state, traceback=traceback, request=request, **kwargs)
        if not ThisProcess.may_wait():
            return store()
        if state == states.STARTED:
            return self._store_start(store, task_id)
        if state == states.RETRY:
            return self._store_retry(store, task_id)
        if state in states.READY_STATES:
            return self._finally(store, f"the state {state} of the task {task_id}")
        return store()

    def _store_unless_newer(self, task_id: str, *args: Any, arisen: Any = None, **kwargs: Any) -> None:
        """Store a state that arose some time ago, unless another attempt at the task has stored one since."""
        if arisen and self._stored_since(task_id, arisen).exists():
            logger.info("task %s has a newer state", task_id)
            return
        self._store_result(task_id, *args, **kwargs)

    def _store_start(self, store: Callable[[], Any], task_id: str) -> Any:
        """Mark a task as started: the gate before its code, which it only passes while the database is there."""
        ThisProcess.task.until = _latest_start()
        try:
            return store()
        except (OutOfTime, SoftTimeLimitExceeded) as reason:
            if _requeueable():
                logger.warning("the database is away; task %s goes back to its queue before it has begun", task_id)
                raise Reject(reason, requeue=True) from reason
            if isinstance(reason, SoftTimeLimitExceeded):
                raise
            logger.warning("the database is away; task %s isn't marked as started", task_id)
            return None
        finally:
            ThisProcess.task.until = None

    def _store_retry(self, store: Callable[[], Any], task_id: str) -> Any:
        """Mark a task as retried. Its next attempt is in the queue already, so this is given up when time is short."""
        ThisProcess.task.until = _latest_end()
        try:
            return store()
        except (OutOfTime, SoftTimeLimitExceeded):
            logger.warning("the database is away; task %s isn't marked as retried", task_id)
            return None
        finally:
            ThisProcess.task.until = None

    def _store_result(self, task_id: str, result: Any, status: str, *args: Any, **kwargs: Any) -> Any:
        """Write a state; that of a retry which had to wait must not take the place of what its next attempt came to meanwhile."""
        if status == states.RETRY:
            begun = timezone.now() - timedelta(seconds=time.monotonic() - _begun())
            if self._stored_since(task_id, begun).filter(status__in=states.READY_STATES).exists():
                logger.info("task %s has come to its end meanwhile", task_id)
                return result
        return super()._store_result(task_id, result, status, *args, **kwargs)

    def _stored_since(self, task_id: str, when: Any) -> Any:
        return self.TaskModel._default_manager.filter(task_id=task_id, date_done__gte=when)

    def _finally(self, store: Callable[[], Any], what: str) -> Any:
        """Store what a task came to. Its work is done, so the soft time limit has nothing to end any more.

        Raises:
            Reject: the hard limit is near. It would make a failure of a task that was done; done again is the lesser evil.
        """
        ThisProcess.task.until = _latest_end()
        try:
            while True:
                try:
                    return store()
                except SoftTimeLimitExceeded:
                    logger.warning("soft time limit while the database is waited for; %s is still to be stored", what)
                    close(router.db_for_write(self.TaskModel))
        except OutOfTime as reason:
            logger.error("the database is away; %s isn't stored, and its message goes back to the queue", what)
            raise Reject(reason, requeue=True) from reason
        finally:
            ThisProcess.task.until = None

    def _ensure_retryable(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do something with the database, for as long as this place may wait for it.

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
        begun = time.monotonic()
        pause, logged = FIRST_PAUSE, 0.0
        while True:
            try:
                return func()
            except Exception as error:
                # Inside a transaction of the task's own nothing can be mended: it has failed as a whole.
                if not passes(error) or not close(router.db_for_write(self.TaskModel)):
                    raise
                now = time.monotonic()
                until = getattr(ThisProcess.task, "until", None)
                if until and now + pause > until:
                    raise OutOfTime(f"no database for {now - begun:.0f} s: {error}") from error
                if not logged or now - logged > LOG_EVERY:
                    logger.warning("the database is away, waiting: %s", error)
                    logged = now
            self._sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (not for secrets)
            pause = min(pause * 2, LONGEST_PAUSE)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """Count a finished part of a chord, as soon as the database and the broker are there."""
        count = partial(count_part, self, request)
        if ThisProcess.must_not_wait():
            ThisProcess.keeper.store(f"the end of task {request.id} as part of its chord", lambda **_: count())
        elif ThisProcess.may_wait():
            self._finally(lambda: self._retrying(count), f"the end of task {request.id} as part of its chord")
        else:
            count()

    def _fail_chain(self, *args: Any, **kwargs: Any) -> None:
        """Mark the rest of a chain as failed, which asks the database, too."""
        fail = partial(super()._fail_chain, *args, **kwargs)
        if ThisProcess.must_not_wait():
            ThisProcess.keeper.store("the failure of a chain", lambda **_: fail())
        else:
            fail()
