"""The record in Redis of who holds which unacknowledged message, and what becomes of it when its holder is gone.

kombu keeps unacknowledged messages in `unacked` (by delivery tag) and `unacked_index` (by time). Beside them lies the holder of
each, so that a worker that comes back takes its own at once and those of one that doesn't are taken over by the others, both
long before the visibility timeout. What several clients do at once is done by scripts, each of which is one step in Redis.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from redis import Redis

from .envelope import Refused, check_outside, describe
from .identity import identity
from .letters import encoded, original

NAMESPACE = "celery_runtime:"
# Between a queue's name and a priority, in the names of kombu's lists.
SEPARATOR = "\x06\x16"
# From this many losses a message is a suspect: it runs beside no other suspect of its worker.
SUSPECT_LOSSES = 2


@cache
def script(name: str) -> str:
    """Return the text of a script of the folder lua."""
    return (Path(__file__).parent / "lua" / f"{name}.lua").read_text()


@dataclass(frozen=True)
class Held:
    """A message that a node holds: its delivery tag, and the list that it came from."""

    tag: str
    list: str


@dataclass(frozen=True)
class DeadLetter:
    """A message that was taken out of circulation.

    Attributes:
        id: the task's id, or `unreadable-` and a checksum.
        list: the queue that it came from.
        message: the message as it was.
        story: what happened to it, oldest first: `at` (s since 1970), `node`, `reason`.
    """

    id: str
    list: str
    message: str
    story: list[dict[str, Any]]

    @property
    def task(self) -> str:
        """Return the task's name, or an empty text."""
        return identity(self.message)[0]

    @property
    def task_id(self) -> str:
        """Return the task's id, or an empty text."""
        return identity(self.message)[1]


class Ledger:
    """Operations on the record.

    Args:
        client: a client of the broker's database.
        prefix: kombu's `global_keyprefix`.
        limit: losses after which a message becomes a dead letter; 0 for no limit.
        most_bytes: size from which on a message becomes a dead letter unread; 0 for no limit.

    Every method may raise redis.exceptions.RedisError.
    """

    def __init__(self, client: Redis, prefix: str = "", limit: int = 0, most_bytes: int = 0) -> None:
        self.client = client
        self.prefix = prefix
        self.limit = limit
        self.most_bytes = most_bytes

    def _own(self, name: str) -> str:
        return f"{self.prefix}{NAMESPACE}{name}"

    @cached_property
    def messages(self) -> str:
        """Key of the messages by tag, kombu's own."""
        return f"{self.prefix}unacked"

    @cached_property
    def times(self) -> str:
        """Key of the tags by time, kombu's own."""
        return f"{self.prefix}unacked_index"

    @cached_property
    def holders(self) -> str:
        """Key of the holders by tag: JSON of the node and the list."""
        return self._own("holders")

    @cached_property
    def losses(self) -> str:
        """Key of the losses by tag: JSON, a list of what happened."""
        return self._own("losses")

    @cached_property
    def suspects(self) -> str:
        """Key of the suspect that each node runs."""
        return self._own("suspects")

    @cached_property
    def leases(self) -> str:
        """Key of the nodes' leases."""
        return self._own("leases")

    @cached_property
    def dead(self) -> str:
        """Key of the dead letters by id."""
        return self._own("dead_letters")

    def suspects_of(self, queue: str) -> str:
        """Return the list where a queue's suspects wait."""
        return self._own(f"suspects:{queue}")

    def fetch_arguments(self, node: str, queues: Iterable[str], lists: Iterable[str]) -> tuple[list[str], list[Any]]:
        """Return keys and arguments of the script `fetch`."""
        waiting = [self.suspects_of(queue) for queue in queues]
        own = [self.messages, self.times, self.holders, self.suspects, self.dead]
        return [*own, *waiting, *lists], [node, time.time(), len(waiting), self.most_bytes]

    def _run(self, name: str, keys: list[str], *arguments: Any) -> Any:
        return self._scripts(name)(keys=keys, args=arguments)

    def _scripts(self, name: str) -> Any:
        found = self.__dict__.setdefault("_registered", {})
        if name not in found:
            found[name] = self.client.register_script(script(name))
        return found[name]

    def settle(self, tag: str) -> None:
        """Forget a message: its task is done, or was refused."""
        self._run("settle", [self.messages, self.times, self.holders, self.losses], tag)

    def held(self, node: str) -> list[Held]:
        """Return what a node holds."""
        found = []
        for tag, entry in self.client.hgetall(self.holders).items():
            holder, name = json.loads(entry)
            if holder == node:
                found.append(Held(tag.decode(), name))
        return found

    def restore(self, tag: str, first: bool = True, lost: str = "") -> DeadLetter | bool | None:
        """Put a message back where it came from.

        Args:
            tag: the message's delivery tag.
            first: whether it is the next that a worker takes, or the last.
            lost: what took its worker away, which counts against the delivery limit; empty for what doesn't count.

        Returns:
            The dead letter that it became, or whether it was put back; not so where somebody else did it, or it was settled.
            None for a message without a holder, of which it isn't known where it came from.
        """
        record, entry, before = self._look(tag)
        if entry is None:
            return None if record else False
        if record is None:
            # A leftover of a message that was settled.
            self.client.hdel(self.holders, tag)
            return False
        try:
            message = json.loads(record)[0]
            check_outside(message)
        except (ValueError, RecursionError, Refused) as error:
            return self.bury(tag, original(record), f"unreadable: {describe(error)}") or False
        node, name = json.loads(entry)
        story = json.loads(before) if before else []
        if lost and _was_started(message):
            story.append({"at": time.time(), "node": node, "reason": lost})
        letter = self._letter(message, name, story) if self.limit and len(story) >= self.limit and lost else None
        _mark_redelivered(message)
        moved = self._run(
            "restore",
            [self.messages, self.times, self.holders, self.losses, self.dead, self._target(name, story)],
            tag,
            entry,
            json.dumps(message),
            "next" if first else "last",
            json.dumps(story) if story else "",
            letter.id if letter else "",
            encoded(letter.list, letter.message, story) if letter else "",
        )
        return letter if moved and letter else bool(moved)

    def bury(self, tag: str, message: str | None, reason: str) -> DeadLetter | None:
        """Move a message that can't be used to the dead letters; return it, unless somebody else did something with it meanwhile.

        Args:
            tag: its delivery tag.
            message: the message as it was sent (`letters.as_text`); None for what the record has.
            reason: why it can't be used.
        """
        if message is None:
            message = original(self.client.hget(self.messages, tag) or b"")
        entry = self.client.hget(self.holders, tag)
        node, name = json.loads(entry) if entry else ("", "")
        checksum = hashlib.sha1(message.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()
        story = [{"at": time.time(), "node": node, "reason": reason}]
        letter = DeadLetter(f"unreadable-{checksum}", f"{self.prefix}{self._queue(name)}", message, story)
        text = encoded(letter.list, message, story)
        keys = [self.messages, self.times, self.holders, self.losses, self.dead]
        return letter if self._run("bury", keys, tag, letter.id, text) else None

    def _look(self, tag: str) -> tuple[bytes | None, bytes | None, bytes | None]:
        # No transaction: a full Redis refuses those, whatever they do.
        with self.client.pipeline(transaction=False) as pipe:
            pipe.hget(self.messages, tag).hget(self.holders, tag).hget(self.losses, tag)
            record, entry, before = pipe.execute()
        return record, entry, before

    def _target(self, name: str, story: list[Any]) -> str:
        if not self.limit or len(story) < SUSPECT_LOSSES:
            return name
        return self.suspects_of(self._queue(name))

    def _queue(self, name: str) -> str:
        """Return the queue of a list, which may be one of its priorities or that of its suspects."""
        waiting = self.suspects_of("")
        queue = name.removeprefix(waiting) if name.startswith(waiting) else name.removeprefix(self.prefix)
        return queue.split(SEPARATOR)[0]

    def _letter(self, message: dict[str, Any], name: str, story: list[dict[str, Any]]) -> DeadLetter:
        task_id = message.get("headers", {}).get("id") or message["properties"]["delivery_tag"]
        return DeadLetter(task_id, f"{self.prefix}{self._queue(name)}", json.dumps(message), story)

    def renew(self, node: str) -> dict[str, int]:
        """Count a node's lease up; return every node's."""
        flat = self._run("renew", [self.leases], node)
        return {key.decode(): int(value) for key, value in zip(flat[::2], flat[1::2], strict=True)}

    def bind(self, key: str, member: str) -> None:
        """Add a binding to one of kombu's tables, however full Redis is."""
        self._run("bind", [f"{self.prefix}{key}"], member)

    def touch(self) -> None:
        """Change nothing with a command that changes something: a Redis that refuses those says why."""
        self.client.hdel(self.leases, "")

    def forget(self, node: str, seen: int) -> None:
        """Remove a lease, unless it was renewed since it was seen."""
        self._run("forget", [self.leases], node, seen)

    def dead_letters(self) -> list[DeadLetter]:
        """Return all dead letters, those that came last at the end."""
        letters = []
        for key, value in self.client.hgetall(self.dead).items():
            letter = json.loads(value.decode(errors="replace"))
            letters.append(DeadLetter(key.decode(), letter["list"], letter["message"], letter["story"]))
        return sorted(letters, key=lambda letter: letter.story[-1]["at"])

    def requeue(self, letter: DeadLetter) -> bool:
        """Put a dead letter back into its queue, with no losses; tell whether it was still there."""
        return bool(self._run("requeue", [self.dead, letter.list], letter.id))

    def drop(self, letter: DeadLetter) -> bool:
        """Remove a dead letter for good; tell whether it was still there."""
        return bool(self.client.hdel(self.dead, letter.id))


def _was_started(message: dict[str, Any]) -> bool:
    """Tell whether a held message may have been running: one that waits for its time did no harm to anybody."""
    eta = message.get("headers", {}).get("eta")
    if not eta:
        return True
    try:
        when = datetime.fromisoformat(eta)
    except (TypeError, ValueError):
        return True
    return (when if when.tzinfo else when.replace(tzinfo=UTC)) <= datetime.now(UTC)


def _mark_redelivered(message: dict[str, Any]) -> None:
    """Say in the message that it was delivered before, as kombu does."""
    message.setdefault("headers", {})["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
