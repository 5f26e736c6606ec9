"""The end of a chord whose parts are counted in the database.

django-celery-results counts a row down with each part that ends, deletes the row at 0, and only then starts the chord's body. A part
that ends twice, as after a kill, makes it 0 too early: the row is gone, some results aren't there, and the body never starts. A kill
between the delete and the start has the same end, and so has a part whose process is killed before it has counted: its result is
stored, so nobody does it again. And the body's results are asked for one by one, for 3 s in all.

Here the count is a hint. When it says that all have ended, the stored results are looked at, and what they say holds: all are there, or
it is put right. The row is deleted in the transaction in which the body is sent, after that. So a part may be counted as often as
you like, and a body is sent at least once: a kill between the broker's answer and the commit sends it twice, under one task id.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from celery import states
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.result import GroupResult
from celery.utils.log import get_logger
from celery.worker.request import Request
from django.db import OperationalError, router, transaction

from .broker_errors import broker_error_passes
from .versions import holds

logger = get_logger(__name__)

MARK = "_celery_runtime"


class NotSent(OperationalError):
    """The broker took no body: to be tried again, like what the database takes later. The transaction is undone."""


def count_part(backend: Any, request: Any) -> None:
    """Count the end of a task as a part of its chord, and send the chord's body if it was the last.

    Args:
        backend: the result backend.
        request: the part's request.

    Raises:
        django.db.Error: the database is away.
        NotSent: the broker is.
    """
    # Its app need not be there where results are kept elsewhere.
    from django_celery_results.models import ChordCounter

    if not request.id or not request.group:
        return
    with transaction.atomic(using=router.db_for_write(ChordCounter)):
        counters = ChordCounter.objects.using(router.db_for_write(ChordCounter))
        # Whoever comes last here sees what all others stored.
        counter = counters.select_for_update().filter(group_id=request.group).first()
        if counter is None:
            logger.info("the chord of the group %s has ended already", request.group)
            return
        counter.count = max(counter.count - 1, 0)
        if counter.count == 0:
            parts = counter.group_result(app=backend.app)
            stored = _stored(backend, parts)
            missing = sum(task_id not in stored for task_id in _leaves(parts))
            if not missing:
                _end(backend, maybe_signature(request.chord, app=backend.app), parts, stored)
                counter.delete()
                return
            # Each of these ends at least once from now on.
            counter.count = missing
        counter.save(update_fields=["count"])


def _leaves(result: Any) -> list[str]:
    """Return the ids of the tasks of a group, in order, those of groups within it included."""
    if isinstance(result, GroupResult):
        return [task_id for one in result.results for task_id in _leaves(one)]
    return [result.id]


def _stored(backend: Any, parts: GroupResult) -> dict[str, Any]:
    """Return the stored results of the parts that have ended, by id, in one question."""
    model = backend.TaskModel
    rows = model._default_manager.using(router.db_for_write(model))
    found = rows.filter(task_id__in=_leaves(parts), status__in=states.READY_STATES)
    return {row.task_id: row for row in found}


def _end(backend: Any, body: Any, parts: GroupResult, stored: dict[str, Any]) -> None:
    """Send a chord's body with the parts' results; where a part or the body itself has failed, say so as its result."""
    try:
        for task_id in _leaves(parts):
            if stored[task_id].status in states.PROPAGATE_STATES:
                error = backend.exception_to_python(backend.decode_content(stored[task_id], stored[task_id].result))
                raise ChordError(f"Dependency {task_id} raised {error!r}")
        try:
            body.delay(_values(backend, parts, stored))
        except Exception as error:
            if broker_error_passes(error):
                raise NotSent(f"the body of the chord {parts.id} can't be sent now: {error}") from None
            raise ChordError(f"Callback error: {error!r}") from error
    except ChordError as error:
        logger.exception("the chord %s has failed", parts.id)
        backend.chord_error_from_stack(body, error)


def _values(backend: Any, result: Any, stored: dict[str, Any]) -> Any:
    """Return what a task returned; for a group a list."""
    if isinstance(result, GroupResult):
        return [_values(backend, one, stored) for one in result.results]
    row = stored[result.id]
    return backend.decode_content(row, row.result)


def install() -> None:
    """Count a part whose process was lost after its result was stored: Celery then says that it has succeeded, and no more."""
    if holds("celery<5.7"):
        from . import older_requests

        older_requests.Stored.success = staticmethod(_stored_success)
        older_requests.Stored.then = staticmethod(_count)
        return
    stock = Request._success_was_stored
    if hasattr(stock, MARK):
        return

    @wraps(stock)
    def _success_was_stored(self: Request) -> Any:
        meta = stock(self)
        if meta:
            _count(self, meta)
        return meta

    setattr(_success_was_stored, MARK, True)
    Request._success_was_stored = _success_was_stored


def _count(request: Request, meta: Any) -> None:
    """Count a task that has succeeded, where it is a part of a chord, and its backend doesn't mind if it was counted already."""
    if request._context.chord and getattr(request.task.backend, "counts_the_lost", False):
        request.task.backend.on_chord_part_return(request._context, states.SUCCESS, meta.get("result"))


def _stored_success(request: Request) -> Any:
    """Return what is stored of a task that has succeeded; nothing where it hasn't, or the database doesn't say so at once."""
    backend = request.task.backend
    if request.ignore_result or not hasattr(backend, "_ensure_retryable"):
        return None
    try:
        meta = backend._ensure_retryable(backend._get_task_meta_for, request.id)
    except Exception as error:
        logger.warning("nobody can say now whether task %s has a result: %s", request.id, error)
        return None
    return meta if meta["status"] == states.SUCCESS else None
