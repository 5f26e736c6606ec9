"""Signs of life for the pool `solo`, whose tasks run in the worker's main process.

While a task runs there, no timer of the event loop does: the lease isn't renewed, and the others take over what runs; the watchdog
hears nothing, and systemd restarts the worker. Here a thread does both, for as long as the process gets any time. So a task that hangs
in this pool hangs for good, as in stock Celery, which has no time limits in it either.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps
from redis import Redis
from redis.exceptions import RedisError

from .configuration import load
from .ledger import Ledger
from .redelivery import RENEWAL
from .transport import Channel
from .watchdog import alive

logger = logging.getLogger(__name__)

POOL = "celery.concurrency.solo"


class Solo(bootsteps.StartStopStep):
    """The thread, for as long as this connection lasts."""

    # By its name, as that of `watchdog`.
    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._ended = threading.Event()

    def include_if(self, parent: Any) -> bool:
        """Return whether this is the pool."""
        return type(parent.pool).__module__ == POOL

    def start(self, consumer: Any) -> None:
        """Begin with the connection."""
        self._ended = threading.Event()
        channel = consumer.connection.default_channel
        ledger = None
        if isinstance(channel, Channel) and "transport" in load().runtime.parts:
            # Connections of its own, which nobody else speaks on.
            ledger = Ledger(Redis(connection_pool=channel._get_pool()), channel.global_keyprefix)
        arguments = (self._ended, ledger, consumer.hostname)
        threading.Thread(target=_live, args=arguments, name="signs-of-life", daemon=True).start()

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """End with the connection."""
        self._ended.set()


def _live(ended: threading.Event, ledger: Ledger | None, node: str) -> None:
    while not ended.wait(RENEWAL):
        alive()
        if ledger is None:
            continue
        try:
            ledger.renew(node)
        except RedisError as error:
            logger.debug("the lease can't be renewed now: %s", error)
    if ledger is not None:
        ledger.client.connection_pool.disconnect()
