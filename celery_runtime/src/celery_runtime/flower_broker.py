"""Flower's own way to the broker: it listens to events, asks workers, counts queues, and writes nothing.

Its login has no key that it could write to and no script that it could run (see the filter `broker_users`), so the parts of the runtime
stay out of its process: a consumer that keeps a record of what it fetched has no use for one who fetches nothing. And its own client of
the broker forgets the user's name and the database where Redis is behind a unix socket.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery.app import control
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as base

from . import compatibility, flower_control, flower_login
from .connections import KEEPALIVE


class Channel(base.Channel):
    """Hears what is said to all. What kombu would write down about its queues, nobody reads."""

    # No record of what was fetched, and nobody else's is put back: that is the workers' business.
    ack_emulation = False

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:  # noqa: ARG002 (kombu's signature)
        self._fanout_queues[queue] = (exchange, routing_key.replace("#", "*"))

    def _get_queue_expire(self, args: Any) -> None:
        """Let no queue end by itself: there is none in Redis."""

    def _delete(self, queue: str, *arguments: Any, **options: Any) -> None:
        """Forget a queue of this process."""

    def _size(self, queue: str) -> int:  # noqa: ARG002 (kombu's signature)
        """Return what lies in a queue when it is declared."""
        return 0

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        if "path" not in parameters:
            parameters |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
        return parameters


class Transport(base.Transport):
    """kombu's Redis transport with the channel above."""

    Channel = Channel


def install() -> None:
    """Let this process use the above (flower.utils.broker, as of Flower 2.2; celery.app.control).

    Raises:
        ConfigurationError: Flower or kombu isn't as this needs it.
    """
    compatibility.require((), "flower")
    from flower.utils import broker  # Only Flower's own process is sure to have it.

    class Socket(broker.RedisSocket):
        """The client that counts queues, with what its parent leaves out."""

        def __init__(self, broker_url: str, *arguments: Any, **options: Any) -> None:
            super().__init__(broker_url, *arguments, **options)
            database = parse_qs(urlsplit(broker_url).query).get("virtual_host", ["0"])[0]
            self.redis.connection_pool.connection_kwargs |= {"username": self.username, "db": int(database)}

    broker.RedisSocket = Socket
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    flower_login.install()
    # By the name that every application has for it: one may have been made before its settings, and with them this, were loaded.
    control.Control = flower_control.Control
