"""What the part `results` needs of Celery's result backends, and they have from Celery 5.7 on only: one place that asks the store.

Nor do the older ones ask for more than a result and a state: what comes after a failure in a chain is written without a question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.backends.base import Backend as StockBackend
from celery.exceptions import Reject

ONLY = "celery<5.7"


class Backend(StockBackend):
    """Stores and reads through one method, which can be overridden."""

    def _ensure_retryable(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do something with the store; Celery's own attempts lie within."""
        return func(*args, **kwargs)

    def _fail_chain(self, chain: Any, exc: Any, **options: Any) -> None:
        """Mark the rest of a chain as failed: Celery does so where it marks the task."""

    def mark_as_failure(self, task_id: str, exc: BaseException, *args: Any, **kwargs: Any) -> Any:
        """Mark a task as failed, but not one that goes back to its queue before it has begun.

        Raises:
            Reject: Celery before 5.7 takes that for a failure; raised once more it reaches the worker's main process.
        """
        if isinstance(exc, Reject):
            raise exc
        return super().mark_as_failure(task_id, exc, *args, **kwargs)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store a task's state."""
        return self._ensure_retryable(
            super().store_result, task_id, result, state, traceback=traceback, request=request, **kwargs
        )

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        """Read what is stored of a task."""
        return self._ensure_retryable(super().get_task_meta, task_id, cache=cache)

    def get_group_meta(self, group_id: str, cache: bool = True) -> Any:
        """Read what is stored of a group."""
        return self._ensure_retryable(super().get_group_meta, group_id, cache=cache)

    def save_group(self, group_id: str, result: Any) -> Any:
        """Store what belongs to a group."""
        return self._ensure_retryable(super().save_group, group_id, result)

    def delete_group(self, group_id: str) -> Any:
        """Remove a group."""
        return self._ensure_retryable(super().delete_group, group_id)
