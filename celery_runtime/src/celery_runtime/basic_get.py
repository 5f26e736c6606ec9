"""Messages that are asked for one at a time (`queue.get()`, basic_get): fetched and recorded in one step, too."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from .entries import text
from .envelope import Refused, check_outside, describe
from .message_text import as_text
from .stock import Channel


def decoded(raw: bytes, tag: str) -> dict[str, Any]:
    """Return a message that was fetched under a tag.

    Raises:
        Exception: it can't be decoded, or isn't fit for use.
    """
    message: dict[str, Any] = loads(bytes_to_str(raw))
    check_outside(message)
    if message["properties"]["delivery_tag"] != tag:
        raise Refused("its delivery_tag isn't the one that it was recorded under")
    return message


class DirectGet(Channel):
    """The part of the channel that fetches without waiting."""

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """Take a message, and return it, or None where there is none. What can't be used becomes a dead letter."""
        with self.conn_or_acquire() as client:
            self._maybe_update_queues_expire(client, queue)
        lists = [f"{self.global_keyprefix}{self._q_for_pri(queue, priority)}" for priority in self.priority_steps]
        while answer := self.ledger.fetch(self.node, [queue], lists):
            name, raw, tag = answer[:3]
            if len(answer) > len((name, raw, tag)):
                self.tell_of_dead_letter(*answer)
                continue
            if message := self._usable(raw, text(tag)):
                if no_ack:
                    self.ledger.settle(text(tag))
                else:
                    virtual.QoS.append(self.qos, message, message.delivery_tag)
                return message
        return None

    def _usable(self, raw: bytes, tag: str) -> Any:
        try:
            return self.Message(decoded(raw, tag), channel=self)
        except Exception as error:
            self.refuse(tag, raw, error)
            return None

    def refuse(self, tag: str, raw: bytes, error: BaseException) -> None:
        """Move a message that was fetched to the dead letters, and say so."""
        if letter := self.ledger.bury(tag, as_text(raw), f"unreadable: {describe(error)}"):
            self.on_dead_letter(letter)
