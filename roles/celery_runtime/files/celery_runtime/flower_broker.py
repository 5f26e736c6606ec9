"""Flower's own client of the broker, which forgets the user's name and the database where Redis is behind a unix socket."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit


def is_flower() -> bool:
    """Tell whether this process is `celery … flower`."""
    return "flower" in sys.argv[1:]


def install() -> None:
    """Let the client log in with both (flower.utils.broker, as of Flower 2.2)."""
    from flower.utils import broker  # Only Flower's own process is sure to have it.

    class Socket(broker.RedisSocket):  # type: ignore[misc, name-defined]
        """The client, with what its parent leaves out."""

        def __init__(self, broker_url: str, *arguments: Any, **options: Any) -> None:
            super().__init__(broker_url, *arguments, **options)
            database = parse_qs(urlsplit(broker_url).query).get("virtual_host", ["0"])[0]
            self.redis.connection_pool.connection_kwargs |= {"username": self.username, "db": int(database)}

    broker.RedisSocket = Socket
