"""The part `database`: a worker's connections to the database live across tasks.

Celery closes them before and after every task. Here Django's own rule for requests holds for tasks too: a connection is closed
when it is older than `CONN_MAX_AGE` or no longer usable, and `CONN_HEALTH_CHECKS` tests it before its first use in a task.
"""

from __future__ import annotations

import sys
from typing import Any

from celery import signals

from .configuration import Runtime


def _refresh(sender: Any = None, **_: Any) -> None:
    """Close connections that are too old or broken; a task that runs inside its caller leaves those to the caller."""
    from django.db import close_old_connections  # Django is set up when a task runs, not when the settings are loaded

    if not getattr(sender.request, "is_eager", False):
        close_old_connections()


def _keep(sender: Any = None, **_: Any) -> None:
    """Tell Celery's fixup for Django to keep connections, and look after them instead.

    The fixup reads its number of uses from a setting whose name doesn't follow the project's namespace, and does so before any
    signal of the worker's; so it is told here.
    """
    for fixup in sender.app._fixups:
        if hasattr(fixup, "worker_fixup"):
            fixup.worker_fixup.db_reuse_max = sys.maxsize
    signals.task_prerun.connect(_refresh, weak=False, dispatch_uid="celery_runtime.database.before")
    signals.task_postrun.connect(_refresh, weak=False, dispatch_uid="celery_runtime.database.after")


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part: none."""
    return {}


def install() -> None:
    """Begin with the worker; other processes keep their connections as before."""
    signals.worker_init.connect(_keep, weak=False, dispatch_uid="celery_runtime.database")
