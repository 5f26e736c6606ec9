"""The part `results`: a result is stored when its backend is back, instead of being lost with the attempt to store it.

Who may wait for the backend depends on the process. A child of a worker waits, since it has nothing else to do than its task. A
worker's main process never does, since it serves all children: what it has to store is handed to a thread (see
`celery_runtime.keeper`). Beat, a web request and a shell get the error at once, as in stock Celery.
"""

from __future__ import annotations

import time
from functools import wraps
from typing import Any

from celery import signals
from celery.app import backends

from .configuration import Runtime
from .process import ThisProcess

MARK = "_celery_runtime"
# Seconds for which the end of a worker waits for results that its main process couldn't store yet.
SHUTDOWN_TIMEOUT = 5.0


def _in_main(sender: Any = None, **_: Any) -> None:
    # These need Django's models, which aren't there when the settings are loaded.
    from . import chords
    from .keeper import Keeper

    chords.install()
    ThisProcess.kind = "main"
    ThisProcess.limits = (sender.time_limit, sender.soft_time_limit)
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


def _wrap() -> None:
    stock = backends.by_url
    if hasattr(stock, MARK):
        return

    @wraps(stock)
    def by_url(*args: Any, **kwargs: Any) -> Any:
        # It needs Django's settings, which are being loaded now.
        from .backends import patient

        found, url = stock(*args, **kwargs)
        return patient(found), url

    setattr(by_url, MARK, True)
    backends.by_url = by_url


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part: none. `result_backend` stays what the project or the deployment has chosen."""
    return {}


def install() -> None:
    """Put what the part adds over each backend; learn which kind of process this is, and when a task begins.

    The setting `result_backend` still says what was chosen: a name such as `django-db`, a class, or an address.
    """
    _wrap()
    for signal, receiver in (
        (signals.worker_init, _in_main),
        (signals.worker_process_init, _in_child),
        (signals.worker_shutdown, _at_end),
        (signals.task_prerun, _begun),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"celery_runtime.results.{receiver.__name__}")
