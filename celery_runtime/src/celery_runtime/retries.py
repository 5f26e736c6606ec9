"""A retry that can't be sent is no reason to lose the task.

`Task.retry` sends the next attempt as a message of its own. Where that fails, because the broker is away or full, Celery
rejects the present message without requeueing it, and the task is gone. Here it is requeued, and tried again as it is. An error
that never passes, such as arguments that no message can hold, ends it as before: it would come back for ever.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from celery.app.task import Task
from celery.exceptions import Reject

from .broker_errors import broker_error_passes

MARK = "_celery_runtime"


def install() -> None:
    """Wrap `Task.retry`, once."""
    stock = Task.retry
    # A mark of our own: others wrap it, too, and theirs would be taken for ours.
    if hasattr(stock, MARK):
        return

    @wraps(stock)
    def retry(self: Task, *args: Any, **kwargs: Any) -> Any:
        try:
            return stock(self, *args, **kwargs)
        except Reject as rejection:
            if not broker_error_passes(rejection.reason):
                raise
            raise Reject(rejection.reason, requeue=True) from rejection

    setattr(retry, MARK, True)
    Task.retry = retry
