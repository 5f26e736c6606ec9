"""The part `results`: a result is stored when the database is back, instead of being lost with the attempt to store it.

Who may wait for the database depends on the process. A child of a worker waits, since it has nothing else to do than its task. A
worker's main process never does, since it serves all children: what it has to store is handed to a thread (see
`celery_runtime.keeper`). Beat, a web request and a shell get the error at once, as in stock Celery.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from celery import signals

from .configuration import Runtime

# Seconds for which the end of a worker waits for results that its main process couldn't store yet.
SHUTDOWN_PATIENCE = 5.0


class Place:
    """Where this code runs.

    Attributes:
        process: `child` or `main` of a worker, or `other`.
        keeper: stores for the main process.
        task: of this thread: when its task began (`begun`) and until when it may wait (`until`), on the monotonic clock.
    """

    process = "other"
    keeper: Any = None
    task = threading.local()

    @classmethod
    def may_wait(cls) -> bool:
        """Return whether this is a place that may stand still: a child, or a thread of a pool of threads."""
        return cls.process == "child" or (cls.process == "main" and not cls.must_not_wait())

    @classmethod
    def must_not_wait(cls) -> bool:
        """Return whether this is the event loop of a worker."""
        return cls.process == "main" and threading.current_thread() is threading.main_thread()


def _in_main(**_: Any) -> None:
    # These need Django's models, which aren't there when the settings are loaded.
    from . import chords
    from .keeper import Keeper

    chords.install()
    Place.process = "main"
    Place.keeper = Place.keeper or Keeper()


def _in_child(**_: Any) -> None:
    # The thread of the main process doesn't exist here, and what waits there is stored there.
    Place.process, Place.keeper = "child", None


def _begun(sender: Any = None, **_: Any) -> None:
    if not sender.request.is_eager:
        Place.task.begun = time.monotonic()


def _at_end(**_: Any) -> None:
    if Place.process == "main":
        Place.keeper.finish(SHUTDOWN_PATIENCE)


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part."""
    return {"result_backend": "celery_runtime.results:DatabaseBackend"}


def install() -> None:
    """Learn which kind of process this is, and when a task begins."""
    for signal, receiver in (
        (signals.worker_init, _in_main),
        (signals.worker_process_init, _in_child),
        (signals.worker_shutdown, _at_end),
        (signals.task_prerun, _begun),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"celery_runtime.results.{receiver.__name__}")


def __getattr__(name: str) -> Any:
    """Return the backend: it needs Django's models, and this module is loaded before they are."""
    if name == "DatabaseBackend":
        from .result_backend import DatabaseBackend

        return DatabaseBackend
    raise AttributeError(name)
