"""What Celery 5.7 does at the end of a task, and the runtime relies on, for the versions before it.

- A child that is lost with its task, and `task_retry_on_worker_lost`: the task is sent once more, within its `max_retries`.
- A child that is lost after its task's result was stored: the task has succeeded. It is neither done again nor marked as failed.
- A task that ends its own process: billiard 4.3 reports the exit, and Celery before 5.7 takes it for the task's failure.
- A task that ends while the worker shuts down: before 5.7 it is settled only when all have ended, and done again if that takes too long.
- Tasks that run on while the connection to the broker is made anew: before 5.7 their time limits are forgotten with its timers, and before
  5.6 their end isn't heard of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from billiard.common import human_status
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery import bootsteps, signals
from celery.exceptions import Retry
from celery.worker import state
from celery.worker.request import Request

ONLY = "celery<5.7"
MARK = "_celery_runtime_older"
# What a pool's timers call at a time limit.
LIMITS = ("_on_soft_timeout", "_on_hard_timeout")

logger = logging.getLogger(__name__)


class Stored:
    """How to learn what is stored of a request's task; the part `results` says it.

    Attributes:
        success: returns what is stored where the task has succeeded, else nothing.
        then: is told of a task that has succeeded before its child was lost, with what is stored.
    """

    success: Callable[[Request], Any] = staticmethod(lambda _: None)
    then: Callable[[Request, Any], None] = staticmethod(lambda _, __: None)


def install() -> None:
    """Wrap what Celery does at the end of a task without success, once."""
    stock = Request.on_failure
    if hasattr(stock, MARK):
        return

    @wraps(stock)
    def on_failure(self: Request, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        error = _error(exc_info)
        if isinstance(error, SystemExit | KeyboardInterrupt):
            if self._already_cancelled or self._already_revoked:
                # By the signal that this worker sent.
                state.task_ready(self)
                return None
            exc_info = _lost(error)
            error = _error(exc_info)
        if isinstance(error, WorkerLostError):
            if stored := Stored.success(self):
                _has_succeeded(self, error, stored)
                return None
            if _is_to_be_retried(self) and _retry(self, error, exc_info):
                return None
        return stock(self, exc_info, *args, **kwargs)

    setattr(on_failure, MARK, True)
    Request.on_failure = on_failure


def _error(exc_info: Any) -> BaseException:
    error: BaseException = exc_info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


def _lost(error: BaseException) -> ExceptionInfo:
    """Return the loss of a process that ended itself, as billiard told of it before 4.3."""
    code = error.code if isinstance(error, SystemExit) else 1
    # What `sys.exit` makes of it: nothing is 0, a text is 1.
    status = 0 if code is None else code if isinstance(code, int) else 1
    try:
        raise WorkerLostError(f"Worker exited prematurely: {human_status(status)}.")
    except WorkerLostError:
        return ExceptionInfo()


def _has_succeeded(request: Request, error: BaseException, stored: Any) -> None:
    """Settle a task whose child was lost after it."""
    state.task_ready(request, successful=True)
    logger.warning("task %s[%s] succeeded before the worker was lost: %r", request.name, request.id, error)
    Stored.then(request, stored)
    if request.task.acks_late:
        request.acknowledge()
    request.send_event("task-succeeded", result=repr(stored.get("result"))[:1024], runtime=None)


def _is_to_be_retried(request: Request) -> bool:
    """Tell whether a task whose child was lost is to be sent again: what the task says, else the setting."""
    own = getattr(request.task, "retry_on_worker_lost", None)
    wanted = request.app.conf.get("task_retry_on_worker_lost") if own is None else own
    most = request.task.max_retries
    return bool(wanted) and (most is None or request._context.retries < most)


def _retry(request: Request, error: BaseException, exc_info: ExceptionInfo) -> bool:
    """Send a task again; return whether the broker took it."""
    task, context = request.task, request._context
    delay = task.default_retry_delay
    again = task.signature_from_request(context, countdown=delay, retries=context.retries + 1)
    try:
        again.apply_async()
    except Exception:
        logger.exception("task %s[%s] lost its worker, and can't be sent again", request.name, request.id)
        return False
    state.task_ready(request)
    if request.store_errors:
        task.backend.mark_as_retry(request.id, error, exc_info.traceback, request=context)
    if task.acks_late:
        request.acknowledge()
    request.send_event("task-retried", exception=repr(error), traceback=exc_info.traceback)
    reason = Retry(exc=error, when=delay)
    task.request_stack.push(context)
    try:
        task.on_retry(error, request.id, request.args, request.kwargs, exc_info)
        signals.task_retry.send(sender=task, request=context, reason=reason, einfo=exc_info)
    finally:
        task.request_stack.pop()
    logger.info("task %s[%s] lost its worker: %s", request.name, request.id, reason)
    return True


@contextmanager
def running_jobs_kept(pool: Any) -> Iterator[None]:
    """Keep what a pool knows of the jobs that run: Celery before 5.6 forgets them with the connection, and then nobody hears of their end."""
    jobs = getattr(getattr(pool, "_pool", None), "_cache", {})
    running = {number: job for number, job in jobs.items() if job._accepted}
    yield
    for number, job in running.items():
        jobs.setdefault(number, job)


def settle_at_shutdown(consumer: Any) -> None:
    """Let what is said of a message be said at once when the event loop has ended, which would pass it on."""
    stock = consumer.call_soon

    def call_soon(p: Any, *args: Any, **kwargs: Any) -> Any:
        over = consumer.blueprint.state in (bootsteps.CLOSE, bootsteps.TERMINATE)
        if over and getattr(p, "__name__", "") in ("ack_log_error", "reject_log_error"):
            return p(*args, **kwargs)
        return stock(p, *args, **kwargs)

    consumer.call_soon = call_soon


def keep_time_limits(consumer: Any) -> None:
    """Let the timers of running tasks' limits outlive the connection; Celery clears all timers with it."""
    timer = consumer.timer
    # A timer in a thread is cleared in another way, and no pool that has limits is beside one.
    if not hasattr(timer, "enter_at") or hasattr(timer.clear, MARK):
        return
    stock = timer.clear

    def clear() -> None:
        kept = [scheduled for scheduled in timer.queue if getattr(scheduled.entry.fun, "__name__", "") in LIMITS]
        stock()
        for scheduled in kept:
            timer.enter_at(scheduled.entry, scheduled.eta, scheduled.priority)

    setattr(clear, MARK, True)
    timer.clear = clear
