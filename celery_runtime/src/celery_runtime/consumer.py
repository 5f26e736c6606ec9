"""Celery's consumer with the runtime's steps, attempts of its own to reach a broker that is away, and a check of each message.

Named by the setting `worker_consumer`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar

from celery.worker.consumer.consumer import Consumer as BaseConsumer
from kombu import Connection

from . import containment, heartbeats
from .configuration import load
from .containment import contain, set_aside
from .delays import Delays, put_off
from .envelope import Refused, check_payload, check_request, tidy
from .redelivery import Redelivery, bury
from .solo import Solo
from .transport import Channel, Transport
from .versions import holds
from .watchdog import Watchdog, alive

if holds("celery<5.7"):
    from . import older_requests

# Seconds between attempts to reach the broker: from, by, to. Celery's own grow to 30 s, for which an outage lasts longer here
# than there.
RETRY = {"interval_start": 1, "interval_step": 1, "interval_max": 5}
STEPS = (("watchdog", Watchdog), ("transport", Redelivery), ("transport", Delays))


containment.install()
heartbeats.install()


class Consumer(BaseConsumer):
    """The consumer of every worker."""

    class Blueprint(BaseConsumer.Blueprint):
        """Celery's steps, and those of the parts that are on."""

        default_steps: ClassVar[list[Any]] = [
            *BaseConsumer.Blueprint.default_steps,
            Solo,
            *(step for part, step in STEPS if part in load().runtime.parts),
        ]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        Channel.on_dead_letter = partial(bury, self.app)
        contain(self)
        if holds("celery<5.7"):
            older_requests.keep_time_limits(self)
            older_requests.settle_at_shutdown(self)

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """Return what takes a message from the queue: Celery's own, which is given well-formed ones only."""
        handle = super().create_task_handler(*arguments, **options)

        def on_task_received(message: Any) -> None:
            try:
                self._check(message)
                if not put_off(self.app, message):
                    handle(message)
            except self.connection_errors:
                raise
            except Exception as error:
                self.refuse(message, error)

        return on_task_received

    def _check(self, message: Any) -> None:
        """Check a message as far as Celery is going to use it: of an unknown task it reads no arguments.

        Raises:
            Exception: it can't be decoded, or isn't fit for use.
        """
        if "task" in message.headers:
            tidy(message.headers)
            check_request(message.headers)
            if message.headers["task"] in self.strategies:
                check_payload(message.decode())
        else:
            # Protocol 1.
            payload = message.decode()
            if not isinstance(payload, dict):
                raise Refused("task: missing")
            tidy(payload)
            check_request(payload)
            check_payload(payload)

    def refuse(self, message: Any, error: BaseException) -> None:
        """Set a message aside that can't be used."""
        set_aside(self.app, message, error)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Refuse what can't be decoded."""
        self.refuse(message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002 (Celery's signature)
        """Refuse what no task can be made of."""
        self.refuse(message, exc)

    def on_close(self) -> None:
        """Forget what belongs to the connection that is lost."""
        with older_requests.running_jobs_kept(self.pool) if holds("celery<5.6") else nullcontext():
            super().on_close()

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect; while that fails, try again at short intervals and give signs of life."""
        Transport.consumes = True
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
