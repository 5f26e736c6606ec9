"""A child that is lost with its task counts against the task, where the task is to run again.

With `reject_on_worker_lost` Celery puts the message back into its queue, each time, for ever. Here such a loss counts as that of a
worker does (see `celery_runtime.blame`), so that the delivery limit ends it. Where Celery retries the task (`task_retry_on_worker_lost`)
or gives it up, the message is settled, and its retries have a limit of their own.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.worker.request import Request
from redis.exceptions import RedisError

from . import evidence
from .blame import Loss, judge_child
from .transport import Channel

logger = logging.getLogger(__name__)

# Not that of other parts: `wraps` copies it from what it wraps.
MARK = "_celery_runtime_lost_children"


class _Seen:
    """Kills for want of memory that this process has seen; those of an earlier start's children are none of its."""

    kills = 0

    @classmethod
    def more(cls) -> bool:
        """Tell whether there was such a kill since this was last asked."""
        before, cls.kills = cls.kills, evidence.oom_kills()
        return cls.kills > before


def install() -> None:
    """Wrap what Celery does at the end of a task without success, once."""
    stock = Request.on_failure
    if hasattr(stock, MARK):
        return
    _Seen.kills = evidence.oom_kills()

    @wraps(stock)
    def on_failure(self: Request, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        error = exc_info.exception
        error = error.exc if isinstance(error, ExceptionWithTraceback) else error
        if isinstance(error, WorkerLostError | SystemExit):
            loss = _look(error)
            if self.task.acks_late and self.task.reject_on_worker_lost:
                # The message goes back a turn of the event loop later, or when the broker is there again.
                Channel.lost[self.message.delivery_tag] = loss
        return stock(self, exc_info, *args, **kwargs)

    setattr(on_failure, MARK, True)
    Request.on_failure = on_failure


def _look(error: BaseException) -> Loss:
    """Return what the loss of a child counts; write down that it was for want of memory, lest the next start count it again."""
    ran_out = _Seen.more()
    channel = Channel.current
    if ran_out and channel is not None:
        try:
            evidence.begin(channel.ledger, channel.node)
        except RedisError as failure:
            logger.warning("the broker isn't told of a child that was killed for want of memory: %s", failure)
    return judge_child(f"exitcode {error.code}" if isinstance(error, SystemExit) else str(error), ran_out)
