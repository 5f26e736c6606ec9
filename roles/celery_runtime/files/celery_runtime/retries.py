"""A retry that can't be sent is no reason to lose the task.

`Task.retry` sends the next attempt as a message of its own. Where that fails, because the broker is away or full, Celery
rejects the present message without requeueing it, and the task is gone. Here it is requeued, and tried again as it is.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from celery.app.task import Task
from celery.exceptions import Reject


def install() -> None:
    """Wrap `Task.retry`, once."""
    stock = Task.retry
    if hasattr(stock, "__wrapped__"):
        return

    @wraps(stock)
    def retry(self: Task, *args: Any, **kwargs: Any) -> Any:
        try:
            return stock(self, *args, **kwargs)
        except Reject as rejection:
            raise Reject(rejection.reason, requeue=True) from rejection

    Task.retry = retry
