"""What the runtime needs of kombu's transport for Redis, and kombu has from 5.7 on only.

- A message to all is delivered by a method of its own, which can be overridden.
- A turn without an event loop begins by the same method as one with it, and looks after a connection that gives no answer.
- A connection that is given up is made anew. Before, the event loop then polled no connection any more, and the worker stood still.
- What is readable is read, or the event loop would turn without a pause.
"""

from __future__ import annotations

import logging
import select
from functools import partial
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import redis as base
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

ONLY = "kombu<5.7"

logger = logging.getLogger(__name__)


class Channel(base.Channel):
    """Delivers a message to all in two steps, and knows no queues that expire."""

    # Seconds for which an answer may be awaited; kombu 5.6 has it, too.
    brpop_timeout: float = 1
    # When the fetch was sent that isn't answered (monotonic clock), or None.
    _brpop_sent_at: float | None = None

    def _receive_one(self, c: Any) -> Any:
        try:
            response = c.parse_response()
        except self.connection_errors:
            self._in_listen = None
            raise
        said = self._handle_message(c, response) if isinstance(response, list | tuple) else None
        if not said or not said["data"] or not bytes_to_str(said["type"]).endswith("message"):
            return None
        topic = bytes_to_str(said["channel"])
        if topic.startswith("/"):
            # The number of the database.
            topic = topic.partition(".")[2]
        try:
            message = loads(bytes_to_str(said["data"]))
        except (TypeError, ValueError) as error:
            logger.warning("a message to all of %r can't be read: %s", topic, type(error).__name__)
            raise Empty() from None
        return self._deliver_fanout_message(message, topic.partition("/")[0])

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        self.connection._deliver(message, self._fanout_to_queue[exchange])
        return True

    def _maybe_update_queues_expire(self, client: Any, queue: str) -> None:
        """Renew the life of a queue: there is none that ends by itself."""


class MultiChannelPoller(base.MultiChannelPoller):
    """Looks after its connections."""

    # Whether something was readable in this turn.
    _heard = False

    def get(self, callback: Any, timeout: float | None = None) -> None:
        """Do a turn without an event loop."""
        self._heard = False
        self.on_poll_start()
        try:
            super().get(callback, timeout)
        except Empty:
            if not self._heard:
                self.maybe_check_brpop_health()
            raise

    def handle_event(self, fileno: int, event: int) -> Any:
        """Take note of what a connection has."""
        self._heard = True
        return super().handle_event(fileno, event) if fileno in self._fd_to_chan else None

    def on_readable(self, fileno: int) -> Any:
        """Read, also what comes too much: kombu leaves it there, and hears of it again at once."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if channel is None:
            return None
        return channel.handlers[kind]() if kind == "BRPOP" and channel._in_poll else super().on_readable(fileno)

    def maybe_check_brpop_health(self) -> None:
        """Give up connections whose answer is overdue: the peer may be gone without a word."""
        for channel in self._channels:
            connection, since = channel._in_poll, channel._brpop_sent_at
            if not connection or since is None or not channel.health_check_interval:
                continue
            waited = monotonic() - since
            overdue = waited >= channel.brpop_timeout + channel.health_check_interval
            if overdue and connection._sock is not None and not _is_readable(connection._sock):
                logger.warning("Redis gave no answer for %.0f s; its connection is given up", waited)
                connection.disconnect()

    def give_up(self, loop: Any, connection: Any) -> None:
        """Forget a connection that has ended, so that the next turn registers the one that takes its place."""
        lost = [one for one in self._chan_to_sock if one[1].connection is connection]
        for one in lost:
            del self._chan_to_sock[one]
        kinds = {(channel, kind) for channel, _, kind in lost}
        for fileno in [fileno for fileno, used_by in self._fd_to_chan.items() if used_by in kinds]:
            loop.remove(fileno)
            del self._fd_to_chan[fileno]


class Transport(base.Transport):
    """Registers the above with an event loop."""

    brpop_timeout: float = 1

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Register."""
        super().register_with_event_loop(connection, loop)
        # In place of what takes the transport out of the loop.
        self.cycle._on_connection_disconnect = partial(self.cycle.give_up, loop)
        options = connection.client.transport_options
        interval = options.get("health_check_interval", base.DEFAULT_HEALTH_CHECK_INTERVAL)
        if interval:
            loop.call_repeatedly(interval, self.cycle.maybe_check_brpop_health)


def _is_readable(sock: Any) -> bool:
    """Tell whether something has arrived, without taking it."""
    look = select.poll()
    look.register(sock, select.POLLIN)
    return bool(look.poll(0))
