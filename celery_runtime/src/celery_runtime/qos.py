"""kombu's messages and its record of those that are unacknowledged, kept through the ledger."""

from __future__ import annotations

import logging
import sys
from typing import Any

from kombu.transport import redis as base
from kombu.transport import virtual
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .entries import raw, shown, text
from .envelope import describe
from .ledger import DeadLetter

logger = logging.getLogger(__name__)


def stopping() -> bool:
    """Tell whether the worker of this process is shutting down."""
    # Loaded in workers; a web process has no need of it.
    state = sys.modules.get("celery.worker.state")
    # An exit status: 0 means a stop, too.
    return state is not None and any(
        flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate)
    )


class Message(base.Channel.Message):
    """A message of this transport.

    Attributes:
        set_aside: whether it is a dead letter by now. What is said of it afterwards has come too late, and is no error.
    """

    set_aside = False

    @property
    def acknowledged(self) -> bool:
        """Return whether it is settled."""
        return self.set_aside or super().acknowledged

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge it."""
        if not self.set_aside:
            super().ack(multiple)

    def reject(self, requeue: bool = False) -> None:
        """Give it up, or back."""
        if not self.set_aside:
            super().reject(requeue)


class QoS(base.QoS):
    """Keeps the record of unacknowledged messages through the ledger."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Count a message; the fetch has recorded it already, unless it came another way."""
        if delivery_tag == self.channel.fetched:
            self.channel.fetched = None
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Settle a message."""
        self._settle(delivery_tag, requeue=False)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Settle a message, or put it at the end of its queue."""
        self._settle(delivery_tag, requeue)

    def _settle(self, tag: str, requeue: bool) -> None:
        settlements = self.channel.settlements
        if not requeue:
            self.channel.lost.pop(tag, None)
        if settlements.unsettled:
            # The broker was away a moment ago, and each attempt may take a whole timeout: see `redelivery`.
            settlements.unsettled[tag] = requeue
        elif settlements.travel and not requeue:
            settlements.due.append(tag)
        else:
            self.settle_alone(tag, requeue)
        self.forget(tag)

    def settle_alone(self, tag: str, requeue: bool = False, again: bool = False) -> None:
        """Tell the broker at once what became of a message, or later if it is away; `again` where it may have heard it."""
        try:
            settle(self.channel.alive(), tag, requeue, again)
        except self.channel.connection_errors:
            if not self.channel.node:
                raise
            # The task is done. Were it given up here, it would be done again.
            self.channel.settlements.doubt([tag], requeue)

    def forget(self, tag: str) -> None:
        """Count a message no longer that was moved elsewhere."""
        virtual.QoS.ack(self, tag)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False, own: bool = False) -> None:
        """Put a message back into its queue: as the next to be taken, or as the last; with `own` if it still is this process's."""
        tag = text(tag) if isinstance(tag, bytes) else tag
        ledger = self.channel.alive().ledger
        outcome = ledger.restore(tag, first=not leftmost, own=own, loss=self.channel.lost.get(tag))
        self.channel.lost.pop(tag, None)
        if outcome is None:
            # No worker of ours fetched it.
            try:
                super().restore_by_tag(raw(tag), client, leftmost)
            except (RedisConnectionError, RedisTimeoutError, OutOfMemoryError):
                raise
            except Exception as error:
                outcome = ledger.bury(tag, None, f"unreadable: {describe(error)}")
        if isinstance(outcome, DeadLetter):
            type(self.channel).on_dead_letter(outcome)

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        """Put back what outlived the visibility timeout. A full Redis refuses kombu's lock for it: then at another time."""
        try:
            super().restore_visible(*arguments, **options)
        except OutOfMemoryError:
            logger.debug("Redis is full: the visibility timeout is looked after later")
        except self.channel.ResponseError as error:
            if "WRONGTYPE" not in str(error) or not self.channel.ledger.set_aside():
                raise

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ARG002 (kombu's signature)
        """Put back what was delivered, at a shutdown. After the loss of a connection, tasks still run: `redelivery` sorts them."""
        self._flush()
        if not self.channel.node or stopping():
            # The oldest last, as the next to be taken.
            for tag in reversed(self._delivered):
                self.restore_by_tag(tag, own=True)
        self._delivered.clear()


def log_overtaken(tag: str) -> None:
    """Say that a message that was settled had become another's meanwhile."""
    logger.warning("the message %s was no longer this worker's: somebody else runs it, or has run it", shown(tag))


def settle(channel: Any, tag: str, requeue: bool, again: bool = False) -> None:
    """Tell the broker what became of a message.

    Args:
        channel: a channel that is connected.
        tag: the message's delivery tag.
        requeue: whether it is to go back to its queue.
        again: whether the broker may have heard it before.
    """
    if requeue:
        channel.qos.restore_by_tag(tag, leftmost=True, own=True)
    elif not channel.ledger.settle(tag) and not again:
        log_overtaken(tag)
