"""The part `watchdog`: a worker tells systemd when it consumes, and gives a sign of life while its event loop turns.

The event loop stands still while the worker looks for a broker that is away; the signs of life then come from the attempts to
connect (see `celery_runtime.consumer` and `celery_runtime.transport`). A task that takes long runs in a child and has no part in
it. Beat gives its signs itself (see `celery_runtime.beat`).
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import bootsteps, signals

from .configuration import Runtime
from .notify import notify, watchdog_interval

# More often than so nobody needs to know (s).
SHORTEST_PAUSE = 1.0
_last = float("-inf")
# The process that is watched: systemd takes no message of its children.
_watched: int | None = None


def alive() -> None:
    """Give a sign of life, where the service manager wants one, the part is on, and this is the process that is watched."""
    global _last
    now = time.monotonic()
    if _watched == os.getpid() and watchdog_interval() and now - _last >= SHORTEST_PAUSE:
        _last = now
        notify("WATCHDOG=1")


class Watchdog(bootsteps.StartStopStep):
    """Gives signs of life for as long as this connection's event loop turns; Celery removes the timer with the connection."""

    # By its name: importing a worker's modules is nothing for the processes of a web server, which load this one, too.
    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        """Begin with the connection."""
        if watchdog_interval():
            alive()
            consumer.timer.call_repeatedly(watchdog_interval() / 4, alive)


def _ready(**_: Any) -> None:
    notify("READY=1\nSTATUS=consuming")


def _stopping(**_: Any) -> None:
    notify("STOPPING=1\nSTATUS=warm shutdown: running tasks end first")


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part."""
    return {"worker_consumer": "celery_runtime.consumer:Consumer"}


def install() -> None:
    """Follow the worker's life. Strong references: a weakly held handler would be gone at once."""
    global _watched
    _watched = os.getpid()
    signals.worker_ready.connect(_ready, weak=False, dispatch_uid="celery_runtime.ready")
    signals.worker_shutting_down.connect(_stopping, weak=False, dispatch_uid="celery_runtime.stopping")
