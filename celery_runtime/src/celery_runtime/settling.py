"""What this process says of the messages that it had: that they are done, or that others are to have them.

                    travels with the next fetch
        ack ──► due ───────────────────────────────► under way ──────► Redis has answered
         │       │ no fetch is at hand                 │     │ with an error
         │       ▼                                     │     ▼
         └─────► sent alone ◄──────────────────────────┼── refused
                   │ the broker is away                │ the connection is lost
                   ▼                                   ▼
                 unsettled ◄───────────────────────────┘
                   │ it is back
                   ▼
                 sent alone

A settlement that travels with a fetch costs Redis and the worker less than one that is sent alone (docs/adr/0011). It waits for the next
turn of the event loop at most, or for the answer to the fetch before, and for a second at the very most. It travels only where there is an
event loop, and not in a worker that is shutting down, whose loop has ended. Of what is unsettled nobody knows whether Redis has heard it.
So it is said again, which changes nothing where it was heard.

A connection may be gone when a task ends, and with it the channel that the message came by. So this state is the process's, not a
channel's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)


@dataclass
class Settlements:
    """Tags of messages that are done, or given back, and of which Redis hasn't said yet that it knows.

    Attributes:
        travel: whether an event loop runs, so that a settlement may wait for the next fetch.
        due: done, and to travel with the next fetch.
        under_way: done, and sent with a fetch.
        refused: done, sent with a fetch, and answered with an error.
        unsettled: what Redis may not have heard: by tag, whether the message is to go back to its queue.
    """

    travel: bool = False
    due: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unsettled: dict[str, bool] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the tags of all of them."""
        return iter([*self.due, *self.under_way, *self.refused, *self.unsettled])

    def send(self) -> list[str]:
        """Return what is due; it is under way from now on."""
        sent, self.due = self.due, []
        self.under_way += sent
        return sent

    def answered(self, tag: str) -> None:
        """Note that Redis has answered, or won't."""
        if tag in self.under_way:
            self.under_way.remove(tag)

    def take(self) -> list[str]:
        """Return what is to be sent alone; whoever asks sends it."""
        taken, self.due, self.refused = [*self.refused, *self.due], [], []
        return taken

    def doubt(self, tags: Iterable[str], requeue: bool = False) -> None:
        """Note that Redis may not have heard of these."""
        for tag in tags:
            self.answered(tag)
            self.unsettled[tag] = requeue
            logger.warning("the broker can't be told of %s now; it will be when it is back", tag)

    def begin_anew(self) -> None:
        """Note that the connection is another: what was said on the one before may not have arrived."""
        self.doubt([*self.under_way, *self.take()])
