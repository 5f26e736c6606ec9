"""Messages that wait for their time wait in the broker, not in a worker's memory.

Stock Celery's workers fetch every message with an ETA at once, and hold it until then: messages without bound, so that enough of
them take a worker down for good, one after the other. `worker_eta_task_limit` bounds that, and a worker that has reached it
fetches nothing more, due or not. Here a worker that meets a message whose time lies ahead puts it into a sorted set beside its list,
in one step. Every worker of a queue looks each second for what is due there, and moves it back to its list, as the next to be taken.

What is due within seconds a worker holds itself, as stock Celery does, so that it begins on time; only so many messages and bytes.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import bootsteps
from celery.utils.time import maybe_iso8601, maybe_make_aware
from celery.worker.consumer.connection import Connection
from redis.exceptions import ResponseError

from .transport import Channel
from .waiting import delay, lists_of, release

logger = logging.getLogger(__name__)

# A message that is due within this time waits in a worker's memory (s).
HELD_SECONDS = 5.0
# A message goes back to its list so long before its time (s), so that a worker has it when it is due.
LEAD = 2.0
# A worker looks so often for what is due (s): less than LEAD.
PERIOD = 1.0
# A worker holds at most so many messages for their time, of so many bytes in sum.
MOST_HELD = 100
MOST_BYTES_HELD = 16 * 1024**2


def due(message: Any, app: Any) -> float | None:
    """Return when a message's task is to begin (s since 1970), as Celery reads it; None for at once."""
    headers = message.headers if "task" in message.headers else message.payload
    eta = headers.get("eta")
    if not eta:
        return None
    when: float = maybe_make_aware(maybe_iso8601(eta), app.conf.timezone).timestamp()
    return when


def put_off(app: Any, message: Any) -> bool:
    """Leave a message in the broker until its time comes, unless this worker may hold it; return whether it did.

    Raises:
        redis.exceptions.ConnectionError: the broker is away.
    """
    channel, tag = message.channel, message.delivery_tag
    when = due(message, app)
    if when is None or not isinstance(channel, Channel) or not channel.node or tag not in channel.qos._delivered:
        return False
    ahead = when - time.time()
    if ahead <= 0 or (ahead <= HELD_SECONDS and _hold(channel, tag, when, len(message.body))):
        return False
    try:
        # What is near and has no room comes back when it is due: there is room for it to run, if not to wait.
        moved = delay(channel.ledger, channel.node, tag, when - LEAD if ahead > HELD_SECONDS else when)
    except ResponseError as error:
        # A disk that is full, say. It is held as in stock Celery.
        logger.warning("a message can't wait for its time in the broker: %s", error)
        return False
    if moved:
        channel.qos.forget(tag)
        message._state = "REQUEUED"
        logger.info("task %s waits in the broker for its time, for %.0f s", message.headers.get("id"), ahead)
    return moved


# What this worker holds for its time, by tag: until when (s since 1970), and how many bytes.
_held: dict[str, tuple[float, int]] = {}


def _hold(channel: Channel, tag: str, when: float, size: int) -> bool:
    """Return whether this worker may hold another message of so many bytes for its time, and count it then."""
    now = time.time()
    for other in [one for one, (until, _) in _held.items() if until <= now or one not in channel.qos._delivered]:
        del _held[other]
    if len(_held) >= MOST_HELD or sum(bytes_ for _, bytes_ in _held.values()) + size > MOST_BYTES_HELD:
        return False
    _held[tag] = (when, size)
    return True


class Delays(bootsteps.StartStopStep):
    """Looks for what is due, for as long as this connection to the broker lasts."""

    requires = (Connection,)

    def start(self, consumer: Any) -> None:
        """Begin with the connection; Celery removes the timer with it."""
        channel = consumer.connection.default_channel
        if isinstance(channel, Channel):
            consumer.timer.call_repeatedly(PERIOD, self._release, (channel,))

    def _release(self, channel: Channel) -> None:
        lists = [
            name for queue in channel.active_queues for name in lists_of(channel.ledger, channel.lists_of(queue), queue)
        ]
        until = time.monotonic() + PERIOD / 4
        while lists and release(channel.ledger, lists, time.time()) and time.monotonic() < until:
            pass
