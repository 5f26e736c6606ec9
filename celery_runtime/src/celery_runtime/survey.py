"""Looks at the record as a whole now and then, for what no worker's own steps would ever find.

- Messages that this node holds and this process doesn't have: the answer to their fetch was lost, and only that connection was
  renewed.
- Messages of a node without a lease. It was taken for gone and its lease forgotten; then it thawed, fetched, and ended before it
  counted a lease up again.
- Keys of another type than the runtime needs, and a lock that would never end.

Nothing is done about what one look sees: an answer may be under way, and who starts has no lease for a moment. What two looks
see that lie `interval` apart is meant. A fetch is known by its time, so the same message under another fetch is another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .ledger import Held, Ledger


@dataclass
class Findings:
    """What two looks have seen: tags that the node itself holds in vain, and nodes that hold something and have no lease."""

    tags: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)


class Survey:
    """One worker's looks at the record.

    Args:
        interval: how far apart they are (s).
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._next = float("-inf")
        self._tags: set[tuple[str, float]] = set()
        self._nodes: set[str] = set()

    def is_due(self, now: float) -> bool:
        """Tell whether it is time for a look, at a time of a monotonic clock (s)."""
        if now < self._next:
            return False
        self._next = now + self.interval
        return True

    def look(self, ledger: Ledger, node: str, leases: set[str], known: set[str], pending: set[float]) -> Findings:
        """Look, and return what was there at the last look, too.

        Args:
            ledger: the record.
            node: this worker's name.
            leases: nodes that have a lease.
            known: tags of the messages that this process has.
            pending: times of the fetches whose answers are due.
        """
        ledger.set_aside()
        ledger.bound_mutex()
        own: list[Held] = []
        nodes: set[str] = set()
        for holder, held in ledger.holdings():
            if holder == node and held.tag not in known:
                own.append(held)
            elif holder != node and holder not in leases:
                nodes.add(holder)
        times = ledger.fetched_at([held.tag for held in own])
        tags = {(tag, at) for tag, at in times.items() if at not in pending}
        found = Findings([tag for tag, _ in tags & self._tags], sorted(nodes & self._nodes))
        self._tags, self._nodes = tags, nodes
        return found
