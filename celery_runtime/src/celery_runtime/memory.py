"""The part `memory`: a worker's children share the memory that the main process has filled before they begin.

A forked child shares every page with its parent until one of the two writes to it. Python's garbage collector writes to each
object that it looks at, so one full collection copies nearly everything. Frozen objects are left alone by it.
"""

from __future__ import annotations

import gc
from typing import Any

from celery import signals

from .configuration import Runtime


def _before_child(**_: Any) -> None:
    """Exempt what is there before the first child. Not again: rubbish that is frozen stays for good, and the main process lives long."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def _in_child(**_: Any) -> None:
    """Exempt what the main process got since, too; Celery collected its rubbish just before this child (celery#2927)."""
    gc.freeze()


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part: none."""
    return {}


def install() -> None:
    """Freeze before the first child and in each. The signals are sent for the prefork pool alone."""
    signals.worker_before_create_process.connect(_before_child, weak=False, dispatch_uid="celery_runtime.memory.main")
    signals.worker_process_init.connect(_in_child, weak=False, dispatch_uid="celery_runtime.memory.child")
