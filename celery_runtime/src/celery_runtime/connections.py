"""Connections to the broker: soon found dead, a sign of life in each use, and lost where Redis refuses for now."""

from __future__ import annotations

import socket
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from .broker_errors import refused_for_now
from .watchdog import alive

# A peer that doesn't acknowledge for so long is gone (tcp(7)): connections are made anew while the outage lasts, and not minutes after it.
PEER_TIMEOUT = 10
KEEPALIVE = {
    socket.TCP_KEEPIDLE: PEER_TIMEOUT,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 2,
    socket.TCP_USER_TIMEOUT: PEER_TIMEOUT * 1000,
}


class RefusedForNow(RedisConnectionError):
    """Redis answers and takes nothing until somebody mends something; the text says what."""


class BrokerConnection:
    """What is added to a connection of redis-py's.

    A use is a sign of life: the event loop stands still for a command, and while Redis is frozen each takes a whole timeout; to
    give up a connection and to make a new one takes several in a row, longer than a watchdog waits.

    A Redis whose disk is full, or that became a replica, answers with errors that end a worker. Waiting for it is the same as
    waiting for one that is away, and so is what becomes of running tasks; so the connection is given up, and made anew (perhaps to
    another, after a failover). A Redis whose memory is full is none of these: what empties it is allowed.
    """

    def send_packed_command(self, *arguments: Any, **options: Any) -> Any:
        """Send a command."""
        alive()
        return super().send_packed_command(*arguments, **options)  # type: ignore[misc]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read an answer.

        Raises:
            RefusedForNow: Redis takes nothing for now; the connection is closed.
        """
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except ResponseError as error:
            if why := refused_for_now(error):
                # Answers to what was sent with it may be on their way.
                self.disconnect()  # type: ignore[attr-defined]
                raise RefusedForNow(why) from error
            raise
