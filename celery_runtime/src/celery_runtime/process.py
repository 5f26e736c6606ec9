"""Which kind of process this is, and whether what runs in it may wait for the result backend: see `celery_runtime.results`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class ThisProcess:
    """Where this code runs.

    Attributes:
        kind: `child` or `main` of a worker, or `other`.
        limits: hard and soft time limit of this worker (s), for tasks that have none of their own.
        keeper: stores for the main process (`celery_runtime.keeper.Keeper`).
        task: of this thread: when its task began (`begun`) and until when it may wait (`until`), on the monotonic clock; and whether what it
            does now is done again by itself where it fails (`again`).
    """

    kind = "other"
    limits: tuple[float | None, float | None] = (None, None)
    keeper: Any = None
    task = threading.local()

    @classmethod
    def may_wait(cls) -> bool:
        """Return whether this is a place that may stand still: a child, or a thread of a pool of threads."""
        return cls.kind == "child" or (cls.kind == "main" and not cls.must_not_wait())

    @classmethod
    def must_not_wait(cls) -> bool:
        """Return whether this is the event loop of a worker."""
        return cls.kind == "main" and threading.current_thread() is threading.main_thread()

    @classmethod
    def asks_again(cls) -> bool:
        """Return whether somebody tries again what this thread does now, so that nothing within it need do so."""
        return bool(getattr(cls.task, "again", False))

    @classmethod
    @contextmanager
    def asking_again(cls) -> Iterator[None]:
        """Say that what is done here is tried again where it fails."""
        before = cls.asks_again()
        cls.task.again = True
        try:
            yield
        finally:
            cls.task.again = before
