"""Which kind of process this is, and whether what runs in it may wait for the database: see `celery_runtime.results`."""

from __future__ import annotations

import threading
from typing import Any


class ThisProcess:
    """Where this code runs.

    Attributes:
        kind: `child` or `main` of a worker, or `other`.
        keeper: stores for the main process (`celery_runtime.keeper.Keeper`).
        task: of this thread: when its task began (`begun`) and until when it may wait (`until`), on the monotonic clock.
    """

    kind = "other"
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
