"""The part `limits`: a pool's own time limits hold for the tasks that have none of their own.

Celery puts the limits of the settings into every message when it is sent, and a worker prefers those to its own options
`--time-limit` and `--soft-time-limit`. So a pool for long or for short tasks would have no say. Here limits that are those of the
settings are no task's own, and the pool's count.
"""

from __future__ import annotations

from typing import Any

from celery import signals
from celery.app.task import Task

from .configuration import Runtime

REQUEST = "celery.worker.request:Request"


def _keep(sender: Any = None, **_: Any) -> None:
    """Learn the limits of the settings and of this worker."""
    # Loaded in workers alone.
    from .request import Request

    Request.general = (sender.app.conf.task_time_limit, sender.app.conf.task_soft_time_limit)
    Request.pool = (sender.time_limit, sender.soft_time_limit)


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part: none."""
    return {}


def install() -> None:
    """Let every task's request know the pool's limits, unless its project has a class of its own for requests."""
    if Task.Request == REQUEST:
        Task.Request = "celery_runtime.request:Request"
    signals.worker_init.connect(_keep, weak=False, dispatch_uid="celery_runtime.limits")
