"""Messages of a queue that aren't in its lists: those that wait for their time, and the suspects. What is done with them in Redis.

Those that wait for their time lie in a sorted set for each list of the queue, `celery_runtime:delayed:<list>`, as they were, by the time
at which they are to go back.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import entries
from .entries import raw
from .ledger import Ledger

# So many messages of a list are moved in one step, since Redis serves nobody else meanwhile.
BATCH = 100


def waiting(ledger: Ledger, name: str) -> str:
    """Return the key of the messages of a list that wait for their time."""
    return ledger._own(f"delayed:{name}")


def lists_of(ledger: Ledger, lists: Iterable[str], queue: str) -> list[str]:
    """Return the lists of a queue, which are one for each priority, and that of its suspects."""
    return [*(f"{ledger.prefix}{name}" for name in lists), ledger.suspects_of(queue)]


def delay(ledger: Ledger, node: str, tag: str, when: float) -> bool:
    """Move a message that a node holds to those that wait; return whether the node held it still."""
    try:
        holder, name = entries.holder(ledger.client.hget(ledger.holders, raw(tag)) or b"")
    except entries.Unreadable:
        return False
    keys = [ledger.messages, ledger.times, ledger.holders, waiting(ledger, name)]
    moved = holder == node and bool(ledger._run("delay", keys, raw(tag), node, when))
    if moved:
        ledger.fetches.pop(tag, None)
    return moved


def release(ledger: Ledger, lists: list[str], now: float) -> int:
    """Move up to BATCH messages of each list back that are due soon; return how many those were."""
    keys = [key for name in lists for key in (waiting(ledger, name), name)]
    return int(ledger._run("release", keys, now, BATCH))


def purge(ledger: Ledger, lists: Iterable[str], queue: str) -> int:
    """Remove a queue's suspects and what waits there for its time; return how many messages those were."""
    all_of_them = lists_of(ledger, lists, queue)
    keys = [ledger.losses, ledger.suspects_of(queue), *(waiting(ledger, name) for name in all_of_them)]
    purged = 0
    while removed := int(ledger._run("purge", keys, BATCH)):
        purged += removed
    return purged
