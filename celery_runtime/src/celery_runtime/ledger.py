"""The record in Redis of who holds which unacknowledged message, and what becomes of it when its holder is gone.

kombu keeps unacknowledged messages in `unacked` (by delivery tag) and `unacked_index` (by time). Beside them lies the holder of
each, so that a worker that comes back takes its own at once and those of one that doesn't are taken over by the others, both
long before the visibility timeout. What several clients do at once is done by scripts, each of which is one step in Redis.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from . import entries
from .blame import Loss, is_suspect, points
from .entries import Unreadable, raw, shown, text
from .envelope import check_outside, describe, is_text
from .identity import identity
from .message_text import as_text, encoded, original

logger = logging.getLogger(__name__)
T = TypeVar("T")

NAMESPACE = "celery_runtime:"
# Between a queue's name and a priority, in the names of kombu's lists.
SEPARATOR = "\x06\x16"
# For how long kombu holds its lock at most (`unacked_mutex_expire`, s).
MUTEX_SECONDS = 300
# Where no limit ends a message's story, so much of it is kept, the newest.
STORY = 100


@cache
def script(name: str) -> str:
    """Return the text of a script of the folder lua, with what it includes."""
    text = (Path(__file__).parent / "lua" / f"{name}.lua").read_text()
    return re.sub(r"^--include (\w+)$", lambda found: script(found[1]).rstrip(), text, flags=re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """A message that a node holds: its delivery tag, and the list that it came from."""

    tag: str
    list: str


@dataclass(frozen=True)
class Seen:
    """What the record has of a message, at one moment: each None where it has nothing, but the fetch's time (then empty)."""

    message: bytes | None
    holder: bytes | None
    losses: bytes | None
    at: float | str


@dataclass(frozen=True)
class DeadLetter:
    """A message that was taken out of circulation.

    Attributes:
        id: the task's id, or `unreadable-` and a checksum; with `~` and a checksum behind it where another has that id.
        list: the queue that it came from; empty where that isn't known.
        message: the message as it was.
        story: what happened to it, oldest first: `at` (s since 1970), `node`, `reason`, and `points` for the loss of a worker.
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
        limit: points (see `blame`) from which on a message becomes a dead letter; 0 for no limit.
        most_bytes: size from which on a message becomes a dead letter unread; 0 for no limit.
        fetches: when each message that this process holds was fetched, by tag (s since 1970): what tells this fetch of it from another.

    Every method may raise redis.exceptions.RedisError, but none for what an entry or a key holds: see `entries` and `set_aside`.
    """

    def __init__(
        self,
        client: Redis,
        prefix: str = "",
        limit: int = 0,
        most_bytes: int = 0,
        fetches: dict[str, float] | None = None,
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.limit = limit
        self.most_bytes = most_bytes
        self.fetches = {} if fetches is None else fetches

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
    def starts(self) -> str:
        """Key of the nodes' starts: which process of a node fetched last (see `evidence`)."""
        return self._own("starts")

    @cached_property
    def dead(self) -> str:
        """Key of the dead letters by id."""
        return self._own("dead_letters")

    def suspects_of(self, queue: str) -> str:
        """Return the list where a queue's suspects wait."""
        return self._own(f"suspects:{queue}")

    def fetch_arguments(self, node: str, queues: Iterable[str], lists: Iterable[str]) -> tuple[list[str], list[Any]]:
        """Return keys and arguments of the script `fetch`; the second argument is the time of the fetch.

        What is done may follow the arguments (see `settlement`).
        """
        waiting = [self.suspects_of(queue) for queue in queues]
        own = [self.messages, self.times, self.holders, self.suspects, self.dead, self.losses]
        return [*own, *waiting, *lists], [node, time.time(), len(waiting), self.most_bytes]

    def fetch(self, node: str, queues: Iterable[str], lists: Iterable[str]) -> list[bytes] | None:
        """Take a message and wait for the answer; return what the script `fetch` has fetched, or None where there is no message."""
        lists = list(lists)
        keys, arguments = self.fetch_arguments(node, queues, lists)
        answer = self._ask(lambda: self._scripts("fetch")(keys=keys, args=arguments), lists)[0]
        if not isinstance(answer, list):
            return None
        if len(answer) == 3:
            self.fetches[text(answer[2])] = arguments[1]
        return answer

    def _run(self, name: str, keys: list[str], *arguments: Any) -> Any:
        return self._ask(lambda: self._scripts(name)(keys=keys, args=arguments))

    def _scripts(self, name: str) -> Any:
        found = self.__dict__.setdefault("_registered", {})
        if name not in found:
            found[name] = self.client.register_script(script(name))
        return found[name]

    def _ask(self, call: Callable[[], T], lists: Iterable[str] = ()) -> T:
        try:
            return call()
        except ResponseError as error:
            if "WRONGTYPE" not in str(error) or not self.set_aside(lists):
                raise
        return call()

    def set_aside(self, lists: Iterable[str] = ()) -> bool:
        """Rename what is of another type than the runtime needs; tell whether something was.

        Args:
            lists: lists to look at, besides the keys of the record; none whose name was read in the record.
        """
        own = {self.times: "zset"} | dict.fromkeys(
            (self.messages, self.holders, self.losses, self.suspects, self.leases, self.starts, self.dead), "hash"
        )
        moved = []
        for key, kind in (dict.fromkeys(lists, "list") | own).items():
            aside = self._own(f"set_aside:{key.removeprefix(self.prefix)}")
            if found := self._scripts("set_aside")(keys=[key, aside], args=[kind]):
                logger.error("the key %s was a %s and not a %s; it is set aside as %s", key, text(found), kind, aside)
                moved.append(key)
        return bool(moved)

    def bound_mutex(self) -> None:
        """Give kombu's lock for the visibility timeout an end, where it has none: kombu's own always has."""
        self.client.pexpire(f"{self.prefix}unacked_mutex", MUTEX_SECONDS * 1000, nx=True)

    def _remove(self, key: str, field: bytes, value: bytes, why: Unreadable) -> None:
        """Remove an entry that can't be read, unless it was changed meanwhile."""
        logger.error("the entry %s of %s can't be read and is removed: %s: %s", shown(field), key, why, shown(value))
        self._run("remove", [key], field, value)

    def settlement(self, tag: str) -> list[Any]:
        """Return what a script is told of a message that this process had and that is done: its tag, and the time of its fetch."""
        return [raw(tag), self.fetches.get(tag, "")]

    def settle(self, tag: str) -> bool:
        """Forget a message: its task is done, or was refused; tell whether it still was the caller's.

        Of a message that was taken over meanwhile the record is another's.
        """
        done = self._run("settle", [self.messages, self.times, self.holders, self.losses], *self.settlement(tag))
        self.fetches.pop(tag, None)
        return bool(done)

    def holdings(self) -> list[tuple[str, Held]]:
        """Return what each node holds, as far as it can be read."""
        found = []
        for tag, entry in self._ask(lambda: self.client.hgetall(self.holders)).items():
            try:
                node, name = entries.holder(entry)
            except Unreadable as why:
                # The message stays where it is: its worker settles it, or the visibility timeout hands it out.
                self._remove(self.holders, tag, entry, why)
            else:
                found.append((node, Held(text(tag), name)))
        return found

    def held(self, node: str) -> list[Held]:
        """Return what a node holds."""
        return [held for holder, held in self.holdings() if holder == node]

    def fetched_at(self, tags: list[str]) -> dict[str, float]:
        """Return when messages were fetched that are held (s since 1970)."""

        def look() -> list[float | None]:
            with self.client.pipeline(transaction=False) as pipe:
                for tag in tags:
                    pipe.zscore(self.times, raw(tag))
                return pipe.execute()

        return {tag: at or 0.0 for tag, at in zip(tags, self._ask(look), strict=True)}

    def started(self, tags: list[str]) -> set[str]:
        """Return which of these held messages may have been running."""

        def look() -> list[bytes | None]:
            with self.client.pipeline(transaction=False) as pipe:
                for tag in tags:
                    pipe.hget(self.messages, raw(tag))
                return pipe.execute()

        found = set()
        for tag, record in zip(tags, self._ask(look), strict=True):
            try:
                if record is not None and _was_started(json.loads(record)[0]):
                    found.add(tag)
            except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
                # It becomes a dead letter as it is restored.
                continue
        return found

    def restore(
        self, tag: str, first: bool = True, loss: Loss | None = None, own: bool = False
    ) -> DeadLetter | bool | None:
        """Put a message back where it came from.

        Args:
            tag: the message's delivery tag.
            first: whether it is the next that a worker takes, or the last.
            loss: what counts against the delivery limit; None for nothing.
            own: whether it has to be the caller's still.

        Returns:
            The dead letter that it became, or whether it was put back; not so where somebody else did it, or it was settled.
            None for a message without a holder, of which it isn't known where it came from.
        """
        seen = self._look(tag)
        record, entry = seen.message, seen.holder
        if own:
            at = self.fetches.get(tag, "")
            # What this process gave back before, and another has, is no longer its own either.
            if at != seen.at if at else entry is not None:
                return False
        if record is None:
            # A leftover of a message that was settled.
            self._run("clear", [self.messages, self.times, self.holders], raw(tag))
            return False
        if entry is None:
            return None
        try:
            node, name = entries.holder(entry)
        except Unreadable as why:
            self._remove(self.holders, raw(tag), entry, why)
            return None
        try:
            message = json.loads(record)[0]
            check_outside(message)
        except Exception as error:
            return self._bury(tag, original(record), f"unreadable: {describe(error)}", seen.at) or False
        story = self._story(tag, seen.losses)
        if loss:
            event = {"at": time.time(), "node": node, "reason": loss.reason, "points": loss.points}
            story.append(event | ({"suspect": True} if loss.suspect else {}))
            story = story if self.limit else story[-STORY:]
        letter = self._letter(message, name, story) if self.limit and loss and points(story) >= self.limit else None
        _mark_redelivered(message)
        moved = self._moved(
            [self.messages, self.times, self.holders, self.losses, self.dead, self._target(name, story)],
            raw(tag),
            entry,
            json.dumps(message),
            "next" if first else "last",
            json.dumps(story) if story else "",
            letter.id if letter else "",
            encoded(letter.list, letter.message, story) if letter else "",
            seen.at,
        )
        self.fetches.pop(tag, None)
        if moved is None:
            self._remove(self.holders, raw(tag), entry, Unreadable("no messages can be put there"))
            return None
        return replace(letter, id=text(moved)) if moved and letter else bool(moved)

    def _moved(self, keys: list[str], *arguments: Any) -> Any:
        """Run the script `restore`; return None where the list that the record names is no place for messages."""
        try:
            return self._run("restore", keys, *arguments)
        except ResponseError as error:
            if not str(error).startswith(("WRONGTYPE", "NOPERM")) and not isinstance(error, NoPermissionError):
                raise
            return None

    def bury(self, tag: str, message: str | None, reason: str) -> DeadLetter | None:
        """Move a message that can't be used to the dead letters; return it, unless somebody else did something with it meanwhile.

        Args:
            tag: its delivery tag.
            message: the message as it was sent (`letters.as_text`); None for what the record has.
            reason: why it can't be used.
        """
        seen, at = self._look(tag), self.fetches.get(tag, "")
        if not at and seen.holder is not None:
            # This process gave it back, and another has it.
            return None
        if message is None:
            message = original(seen.message or b"")
        letter = self._bury(tag, message, reason, at)
        self.fetches.pop(tag, None)
        return letter

    def _bury(self, tag: str, message: str, reason: str, at: float | str) -> DeadLetter | None:
        entry = self._look(tag).holder
        try:
            node, name = entries.holder(entry) if entry else ("", "")
        except Unreadable:
            node, name = "", ""
        checksum = hashlib.sha1(message.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()
        story = [{"at": time.time(), "node": node, "reason": reason}]
        letter = DeadLetter(f"unreadable-{checksum}", f"{self.prefix}{self._queue(name)}", message, story)
        content = encoded(letter.list, message, story)
        keys = [self.messages, self.times, self.holders, self.losses, self.dead]
        return letter if self._run("bury", keys, raw(tag), letter.id, content, at) else None

    def _look(self, tag: str) -> Seen:
        def look() -> list[Any]:
            # No transaction: a full Redis refuses those, whatever they do.
            with self.client.pipeline(transaction=False) as pipe:
                key = raw(tag)
                pipe.hget(self.messages, key).hget(self.holders, key).hget(self.losses, key).zscore(self.times, key)
                return pipe.execute()

        message, holder, losses, at = self._ask(look)
        return Seen(message, holder, losses, "" if at is None else at)

    def _story(self, tag: str, entry: bytes | None) -> list[dict[str, Any]]:
        try:
            return entries.story(entry) if entry else []
        except Unreadable as why:
            self._remove(self.losses, raw(tag), entry or b"", why)
            return []

    def _target(self, name: str, story: list[Any]) -> str:
        if not self.limit or not is_suspect(story):
            return name
        return self.suspects_of(self._queue(name))

    def _queue(self, name: str) -> str:
        """Return the queue of a list, which may be one of its priorities or that of its suspects."""
        queue = name.removeprefix(self.suspects_of("") if self.is_of_suspects(name) else self.prefix)
        return queue.split(SEPARATOR)[0]

    def _letter(self, message: dict[str, Any], name: str, story: list[dict[str, Any]]) -> DeadLetter:
        task_id = message.get("headers", {}).get("id") or message["properties"]["delivery_tag"]
        if not is_text(task_id):
            task_id = f"unreadable-{hashlib.sha1(json.dumps(message).encode(), usedforsecurity=False).hexdigest()}"
        return DeadLetter(task_id, f"{self.prefix}{self._queue(name)}", json.dumps(message), story)

    def count(self, lists: Iterable[str]) -> int:
        """Count the messages of lists, without the transaction that a full Redis refuses."""
        with self.client.pipeline(transaction=False) as pipe:
            for name in lists:
                pipe.llen(name)
            return sum(pipe.execute())

    def is_of_suspects(self, name: str) -> bool:
        """Tell whether a list is one of suspects."""
        return name.startswith(self.suspects_of(""))

    def begin(self, node: str, start: str) -> None:
        """Write down which process fetches for a node from now on, however full Redis is."""
        self._run("begin", [self.starts], raw(node), start)

    def begun(self, node: str) -> bytes | None:
        """Return which process fetched for a node last."""
        found: bytes | None = self._ask(lambda: self.client.hget(self.starts, raw(node)))
        return found

    def renew(self, node: str) -> dict[str, bytes]:
        """Count a node's lease up; return every node's. Of a count only matters whether it moves."""
        flat = self._run("renew", [self.leases], raw(node))
        return {text(key): value for key, value in zip(flat[::2], flat[1::2], strict=True)}

    def bind(self, key: str, member: str) -> None:
        """Add a binding to one of kombu's tables, however full Redis is."""
        self._scripts("bind")(keys=[f"{self.prefix}{key}"], args=[member])

    def touch(self) -> None:
        """Change nothing with a command that changes something: a Redis that refuses those says why."""
        # Whatever its type: nobody writes this key.
        self.client.delete(self._own("touch"))

    def forget(self, node: str, seen: bytes) -> None:
        """Remove a lease, unless it was renewed since it was seen."""
        self._run("forget", [self.leases, self.starts], raw(node), seen)

    def dead_letters(self) -> list[DeadLetter]:
        """Return all dead letters, those that came last at the end; before them, with no list to go back to, what is none."""
        letters = []
        for key, value in self._ask(lambda: self.client.hgetall(self.dead)).items():
            try:
                letter = DeadLetter(text(key), *entries.letter(value))
            except Unreadable as why:
                story = [{"at": 0, "node": "", "reason": f"unreadable: {why}"}]
                letter = DeadLetter(text(key), "", as_text(value), story)
            letters.append(letter)
        return sorted(letters, key=lambda letter: letter.story[-1]["at"])

    def requeue(self, letter: DeadLetter) -> bool:
        """Put a dead letter back into its queue, with no losses; tell whether it was still there, and one that can be."""
        return bool(letter.list and self._run("requeue", [self.dead, letter.list], raw(letter.id)))

    def drop(self, letter: DeadLetter) -> bool:
        """Remove a dead letter for good; tell whether it was still there."""
        return bool(self.client.hdel(self.dead, raw(letter.id)))


def _was_started(message: dict[str, Any]) -> bool:
    """Tell whether a held message may have been running: one that waits for its time did no harm to anybody."""
    eta = message.get("headers", {}).get("eta")
    if not eta:
        return True
    try:
        when = datetime.fromisoformat(eta)
    except (TypeError, ValueError, OverflowError):
        return True
    return (when if when.tzinfo else when.replace(tzinfo=UTC)) <= datetime.now(UTC)


def _mark_redelivered(message: dict[str, Any]) -> None:
    """Say in the message that it was delivered before, as kombu does."""
    message.setdefault("headers", {})["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
