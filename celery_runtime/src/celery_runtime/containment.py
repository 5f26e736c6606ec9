"""Whatever the handling of one message raises ends with that message set aside, not with its worker.

A message passes through many hands in a worker's main process: kombu's, the consumer's, the strategy's and, once it is a request, those of
timers, rate limits and the pool. What comes from the queue is caught in the consumer; what comes later is caught here, in the two
places that all of it passes: where a request is handed to the pool, and where the pool says what became of it. Errors of the connection
to the broker aren't the message's, and go on to where Celery looks for them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from celery.worker import state
from celery.worker.request import Request
from kombu.transport.virtual import Message

from .envelope import describe
from .redelivery import bury
from .transport import Channel

logger = logging.getLogger(__name__)

# What the pool calls. Celery's `on_success` calls these where anything can go wrong in it.
CALLBACKS = ("on_accepted", "on_timeout", "on_failure")
MARK = "_celery_runtime"


def set_aside(app: Any, message: Message, error: BaseException) -> None:
    """Move a message that can't be used to the dead letters, where there are some, and say why; one that is settled is left.

    Args:
        app: the Celery app, whose result backend learns of it.
        message: the message.
        error: what its handling raised.
    """
    reason = f"unreadable: {describe(error)}"
    if message.acknowledged:
        logger.error("a message was settled, and then: %s", reason, exc_info=error)
        return
    if not isinstance(message.channel, Channel):
        logger.error("a message was refused: %s", reason)
        message.reject_log_error(logger, message.channel.connection_errors)
        return
    channel, tag = message.channel.alive(), message.delivery_tag
    letter = channel.ledger.bury(tag, None, reason)
    message.channel.qos.forget(tag)
    # An acknowledgement may be on its way: the event loop sends it at its next turn.
    message.set_aside = True
    if letter:
        bury(app, letter)
    else:
        logger.error("a message can't be used, and somebody else has it by now: %s", reason)


def _set_request_aside(request: Request, error: BaseException) -> None:
    state.task_ready(request)
    set_aside(request.app, request.message, error)
    request.acknowledged = True


def contain(consumer: Any) -> None:
    """Let what handing a request to the pool raises end with the request."""
    controller = consumer.controller
    stock = controller._process_task

    def process_task(request: Request) -> None:
        jobs = getattr(getattr(consumer.pool, "_pool", None), "_cache", {})
        last = next(reversed(jobs), None)
        try:
            stock(request)
        except consumer.connection_errors:
            raise
        except Exception as error:
            # A job that was counted and can't be sent would be waited for at the worker's end.
            if next(reversed(jobs), None) != last:
                jobs.popitem()
            _set_request_aside(request, error)
            # Where a pool has places, this one is free again.
            getattr(controller, "_quick_release", int)()

    controller._process_task = process_task
    if consumer.on_task_request == stock:
        consumer.on_task_request = process_task


def _without_memory_error(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Let a task that had no memory fail like any other: Celery ends the worker for it, and what that has isn't what the child had."""

    @wraps(callback)
    def on_failure(self: Request, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, MemoryError):
            exc_info.exception = RuntimeError(f"MemoryError: {error}")
        return callback(self, exc_info, *args, **kwargs)

    return on_failure


def _contained(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def contained(self: Request, *args: Any, **kwargs: Any) -> Any:
        try:
            return callback(self, *args, **kwargs)
        except self.connection_errors:
            raise
        except Exception as error:
            _set_request_aside(self, error)

    setattr(contained, MARK, True)
    return contained


def install() -> None:
    """Let what the pool's callbacks raise end with their request; a second call changes nothing."""
    for name in CALLBACKS:
        stock = getattr(Request, name)
        if not hasattr(stock, MARK):
            stock = _without_memory_error(stock) if name == "on_failure" else stock
            setattr(Request, name, _contained(stock))
