"""Fetching messages over one connection to Redis: a machine of four states.

                  fetch                nothing there
        IDLE ──────────────► FETCHING ──────────────► LOOKING
         ▲ ▲                    │                      │   │
         │ └────────────────────┘                      │   │ still nothing
         │        a message                            │   ▼
         ├─────────────────────────────────────────────┘  WAITING
         │        something came meanwhile                 │
         └─────────────────────────────────────────────────┘
                  Redis says that a list has changed, or a second has passed

IDLE owes nothing and is owed nothing: the next turn of the event loop fetches, if the prefetch limit has room.
FETCHING has sent the script `fetch` and is owed its answer.
LOOKING has asked with EXISTS whether the lists are still empty, and is owed that answer.
WAITING is owed nothing. Redis noted the lists with that question and sends one message when one of them changes.

A lost connection, an error and the end of a channel lead from every state to IDLE.

What the worker has done since its last fetch travels with the next one: for Redis, one script is much less work than two.

Redis notes what a connection with CLIENT TRACKING reads. With OPTIN it does so for the command behind CLIENT CACHING YES alone:
else Redis 7.0 would note every key that the script was given, the record among them, and wake each worker for every task
of every other (Redis 7.4 and later note what the script read). The question is one command, so nothing can come in between:
a message that arrives before it is counted, one that arrives after it is told of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from kombu.utils.encoding import bytes_to_str
from redis.exceptions import NoScriptError, ResponseError

from .ledger import script

logger = logging.getLogger(__name__)


class State(Enum):
    """What a connection is doing; see above."""

    IDLE = auto()
    FETCHING = auto()
    LOOKING = auto()
    WAITING = auto()


class Fetcher:
    """The state of one channel's fetching.

    Args:
        answered: is told what Redis says of a message that is done: the tag, and 1, 0 or -1 as the script `fetch` returns them.
        in_doubt: is told the tags of settlements whose answers are not going to come.

    Attributes:
        state: what it is doing.
    """

    def __init__(
        self,
        answered: Callable[[str, int], None],
        in_doubt: Callable[[list[str]], None],
    ) -> None:
        self.state = State.IDLE
        self._answered = answered
        self._in_doubt = in_doubt
        # Tags of the settlements that were sent and not answered, in their order.
        self._settling: list[str] = []
        # The socket that was set up: a connection that was made anew needs it again.
        self._prepared: Any = None
        self._tracked = False
        self._digest = ""
        self._lists: list[str] = []

    @property
    def owed(self) -> bool:
        """Whether an answer is due that could be overdue."""
        return self.state in (State.FETCHING, State.LOOKING)

    def reset(self) -> None:
        """Begin anew: the connection is gone, or what it was doing is void."""
        self.state = State.IDLE
        if self._settling:
            tags, self._settling = self._settling, []
            self._in_doubt(tags)

    def look_again(self) -> None:
        """Fetch at the next turn of the event loop, if it waits."""
        if self.state is State.WAITING:
            self.state = State.IDLE

    def fetch(
        self,
        connection: Any,
        keys: list[str],
        arguments: list[Any],
        first: int,
        done: dict[str, list[Any]] | None = None,
    ) -> None:
        """Say which messages are done, and ask for another.

        Args:
            connection: the connection, which is IDLE.
            keys: keys of the script `fetch`.
            arguments: its arguments.
            first: from which key on they are lists of messages.
            done: what is done, by tag, as the script is told of it.
        """
        if self._prepared is None or self._prepared is not connection._sock:
            self._prepare(connection)
        self._lists = keys[first:]
        settlements = [one for settlement in (done or {}).values() for one in settlement]
        self._settling = list(done or {})
        self.state = State.FETCHING
        connection.send_command("EVALSHA", self._digest, len(keys), *keys, *arguments, *settlements)

    def read(self, connection: Any) -> list[Any] | None:
        """Read what has arrived; return a message as the script returns it, or None.

        Raises:
            redis.exceptions.RedisError: the connection is lost, or Redis refuses; it is IDLE then.
        """
        try:
            return self._read(connection)
        except ResponseError as error:
            self._hand_on([-1] * len(self._settling))
            self.reset()
            if not isinstance(error, NoScriptError):
                raise
            # Somebody emptied Redis's cache of scripts.
            self._prepared = None
            return None
        except BaseException:
            self.reset()
            raise

    def _read(self, connection: Any) -> list[Any] | None:
        while True:
            response = connection.read_response(push_request=True)
            if response is None:
                # Redis says that a list has changed. What it says before the question is answered is settled by the answer.
                self.look_again()
            elif self.state is State.FETCHING:
                fetched, *answers = response
                self._hand_on(answers)
                if isinstance(fetched, list):
                    self.reset()
                    return fetched
                self._look(connection, skipped=fetched)
            elif self.state is State.LOOKING and isinstance(response, int):
                self.state = State.IDLE if response else State.WAITING
            # What else has arrived lies in the client's buffer, where the event loop doesn't see it.
            if not connection.can_read(timeout=0):
                return None

    def _hand_on(self, answers: list[int]) -> None:
        """Tell what Redis says of the settlements that travelled with the fetch."""
        tags, self._settling = self._settling, []
        for tag, answer in zip(tags, answers, strict=True):
            self._answered(tag, answer)

    def _look(self, connection: Any, skipped: int) -> None:
        """Ask whether there is still nothing in the lists that were looked at: all but the first few."""
        if not self._tracked:
            self.state = State.WAITING
            return
        self.state = State.LOOKING
        commands = [("CLIENT", "CACHING", "YES"), ("EXISTS", *self._lists[skipped:])]
        connection.send_packed_command(connection.pack_commands(commands))

    def _prepare(self, connection: Any) -> None:
        """Set a new connection up: Redis is to say when what it noted has changed, but not for its own changes."""
        commands = [
            ("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"),
            ("CLIENT", "CACHING", "YES"),
            ("SCRIPT", "LOAD", script("fetch")),
        ]
        connection.send_packed_command(connection.pack_commands(commands))
        refusals = [self._refusal(connection) for _ in commands[:2]]
        self._tracked = not any(refusals)
        if not self._tracked:
            reason = next(filter(None, refusals))
            logger.warning("Redis refuses CLIENT TRACKING (%s): tasks begin up to a second late", reason)
        self._digest = bytes_to_str(connection.read_response())
        self._prepared = connection._sock

    def _refusal(self, connection: Any) -> str:
        try:
            connection.read_response()
        except ResponseError as error:
            return str(error)
        return ""
