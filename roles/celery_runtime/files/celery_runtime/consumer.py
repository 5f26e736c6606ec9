"""Celery's consumer with the runtime's steps, and with patience of its own for a broker that is away.

Named by the setting `worker_consumer`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from celery.worker.consumer.consumer import Consumer as BaseConsumer
from kombu import Connection

from .configuration import load
from .redelivery import Redelivery
from .watchdog import Watchdog, alive

# Seconds between attempts to reach the broker: from, by, to. Celery's own grow to 30 s, for which an outage lasts longer here
# than there.
RETRY = {"interval_start": 1, "interval_step": 1, "interval_max": 5}
STEPS = {"watchdog": Watchdog, "transport": Redelivery}


class Consumer(BaseConsumer):
    """The consumer of every worker."""

    class Blueprint(BaseConsumer.Blueprint):
        """Celery's steps, and those of the parts that are on."""

        default_steps: ClassVar[list[Any]] = [
            *BaseConsumer.Blueprint.default_steps,
            *(step for part, step in STEPS.items() if part in load().runtime.parts),
        ]

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect; while that fails, try again at short intervals and give signs of life."""
        ensure = conn.ensure_connection

        def ensure_connection(errback: Any = None, max_retries: int | None = None, callback: Any = None) -> Connection:
            def wait() -> None:
                alive()
                if callback:
                    callback()

            alive()
            return ensure(errback, max_retries, callback=wait, **RETRY)

        conn.ensure_connection = ensure_connection
        return super().ensure_connected(conn)
