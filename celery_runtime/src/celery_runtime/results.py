"""The part `results`: a result is stored when the database is back, instead of being lost with the attempt to store it.

Who may wait for the database depends on the process. A child of a worker waits, since it has nothing else to do than its task. A
worker's main process never does, since it serves all children: what it has to store is handed to a thread (see
`celery_runtime.keeper`). Beat, a web request and a shell get the error at once, as in stock Celery.
"""

from __future__ import annotations

import time
from typing import Any

from celery import signals

from .configuration import Runtime
from .process import ThisProcess

# Seconds for which the end of a worker waits for results that its main process couldn't store yet.
SHUTDOWN_TIMEOUT = 5.0


def _in_main(**_: Any) -> None:
    # These need Django's models, which aren't there when the settings are loaded.
    from . import chords
    from .keeper import Keeper

    chords.install()
    ThisProcess.kind = "main"
    ThisProcess.keeper = ThisProcess.keeper or Keeper()


def _in_child(**_: Any) -> None:
    # The thread of the main process doesn't exist here, and what waits there is stored there.
    ThisProcess.kind, ThisProcess.keeper = "child", None


def _begun(sender: Any = None, **_: Any) -> None:
    if not sender.request.is_eager:
        ThisProcess.task.begun = time.monotonic()


def _at_end(**_: Any) -> None:
    if ThisProcess.kind == "main":
        ThisProcess.keeper.finish(SHUTDOWN_TIMEOUT)


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part."""
    return {"result_backend": "celery_runtime.result_backend:DatabaseBackend"}


def install() -> None:
    """Learn which kind of process this is, and when a task begins."""
    for signal, receiver in (
        (signals.worker_init, _in_main),
        (signals.worker_process_init, _in_child),
        (signals.worker_shutdown, _at_end),
        (signals.task_prerun, _begun),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"celery_runtime.results.{receiver.__name__}")
