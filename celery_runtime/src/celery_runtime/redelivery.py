"""Gives back what a worker held when it was killed, when its connection broke, or when it is gone for good.

A worker's node name stands with every message that it holds. At its start it puts back what it held when it ended; after each
loss of its connection, what it no longer has a running task for. It counts its lease up every few seconds; a node whose lease
nobody saw move for `lease_seconds` is gone, and the others put back what it held.

What counts is what this worker itself saw, by its own clock, and since it was last connected: an outage of the broker, a clock
that is wrong or a Redis that lay frozen makes nobody look dead.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import bootsteps
from celery.exceptions import InvalidTaskError, WorkerLostError
from celery.worker import state
from celery.worker.consumer.connection import Connection
from redis.exceptions import RedisError

from . import evidence, lost_children
from .blame import judge, points
from .configuration import load
from .entries import shown
from .evidence import End
from .ledger import DeadLetter, Ledger
from .qos import settle
from .survey import Survey
from .transport import Channel

logger = logging.getLogger(__name__)

# A lease is counted up so often that a busy host may miss several times (s).
RENEWAL = 5


class Observation:
    """What a worker saw of the others' leases.

    Args:
        lease_seconds: after how long without a move a lease has lapsed (s).
    """

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self._seen: dict[str, tuple[int, float]] = {}

    def lapsed(self, leases: dict[str, int], now: float) -> list[tuple[str, int]]:
        """Take note of the leases at a time of a monotonic clock (s); return those that have lapsed, with their counts."""
        self._seen = {node: self._seen[node] for node in leases if node in self._seen}
        for node, count in leases.items():
            if node not in self._seen or self._seen[node][0] != count:
                self._seen[node] = (count, now)
        return [(node, count) for node, (count, since) in self._seen.items() if now - since >= self.lease_seconds]


class Redelivery(bootsteps.StartStopStep):
    """Starts with each connection to the broker, before anything is consumed: the event loop is always the last step."""

    requires = (Connection,)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        lost_children.install()
        self._was_started = False

    def start(self, consumer: Any) -> None:
        """Put back what this node holds and doesn't run; begin to count the lease up."""
        channel = consumer.connection.default_channel
        if not isinstance(channel, Channel):
            # Another kind of broker, such as a Sentinel.
            return
        channel.node = consumer.hostname
        Channel.current = channel
        self._observation = Observation(load().runtime.lease_seconds)
        self._survey = Survey(load().runtime.lease_seconds)
        Channel.settlements.begin_anew()
        settle_what_is_left(channel)
        # The lease comes first: whoever holds something has one.
        channel.ledger.renew(channel.node)
        end = None if self._was_started else evidence.last(channel.ledger, channel.node)
        put_back(consumer.app, channel.ledger, channel.node, end, running())
        if not self._was_started:
            evidence.begin(channel.ledger, channel.node)
        self._was_started = True
        consumer.timer.call_repeatedly(RENEWAL, self._renew, (consumer.app, channel))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """Say what is done before the event loop's end: the pool may run for long after it."""
        Channel.settlements.travel = False
        if Channel.current is not None and Channel.current.connection is not None:
            Channel.current.settle_due(at_once=True)

    def _renew(self, app: Any, channel: Channel) -> None:
        settle_what_is_left(channel)
        now = time.monotonic()
        leases = channel.ledger.renew(channel.node)
        for node, count in self._observation.lapsed(leases, now):
            if node == channel.node:
                continue
            logger.warning(
                "%s gave no sign for %s s; its messages are taken over",
                shown(node),
                self._observation.lease_seconds,
            )
            put_back(app, channel.ledger, node, evidence.GONE, set())
            channel.ledger.forget(node, count)
        if self._survey.is_due(now):
            self._look_around(app, channel, set(leases))

    def _look_around(self, app: Any, channel: Channel, leases: set[str]) -> None:
        """Put back what nobody has: see `survey`."""
        known = channel.known() | running()
        found = self._survey.look(channel.ledger, channel.node, leases, known, channel.pending())
        for tag in found.tags:
            outcome = channel.ledger.restore(tag)
            if isinstance(outcome, DeadLetter):
                bury(app, outcome)
            elif outcome:
                logger.warning("the message %s was fetched and never arrived; it was put back", shown(tag))
        for node in found.nodes:
            logger.warning("%s holds messages and has no lease; they are taken over", shown(node))
            put_back(app, channel.ledger, node, evidence.GONE, set())


def running() -> set[str]:
    """Return the tags of the messages whose tasks run."""
    return {request.message.delivery_tag for request in tuple(state.active_requests)}


def settle_what_is_left(channel: Channel) -> None:
    """Tell the broker what it could not be told while it was away."""
    unsettled = Channel.settlements.unsettled
    for tag, requeue in list(unsettled.items()):
        settle(channel, tag, requeue, again=True)
        unsettled.pop(tag, None)


def put_back(app: Any, ledger: Ledger, node: str, end: End | None, running: set[str]) -> None:
    """Put back what a node holds and doesn't run.

    Args:
        app: the Celery app, whose result backend learns of dead letters.
        ledger: the record.
        node: the node's name.
        end: how the node's process ended; None where it lives.
        running: delivery tags of tasks that the node runs.
    """
    count = 0
    idle = [held for held in ledger.held(node) if held.tag not in running]
    losses = {}
    if end and idle:
        ran = ledger.started([held.tag for held in idle])
        losses = judge(end, ran, {held.tag for held in idle if held.tag in ran and ledger.is_of_suspects(held.list)})
        for tag, loss in losses.items():
            logger.warning("the message %s lost its worker (counts %g): %s", shown(tag), loss.points, loss.reason)
    for held in idle:
        try:
            outcome = ledger.restore(held.tag, loss=losses.get(held.tag))
        except Exception as error:
            if isinstance(error, RedisError):
                raise
            # Whatever one message raises, the others are put back.
            logger.exception("the message %s that %s held can't be put back", shown(held.tag), node)
            continue
        if isinstance(outcome, DeadLetter):
            bury(app, outcome)
        count += bool(outcome)
    if count:
        logger.info("%d message(s) that %s held were put back", count, shown(node))


def bury(app: Any, letter: DeadLetter) -> None:
    """Say of a dead letter that it is one: in the log, and as the task's result."""
    reason = letter.story[-1]["reason"]
    if reason.startswith("unreadable: "):
        error: Exception = InvalidTaskError(f"moved to the dead letters: {reason}")
    else:
        error = WorkerLostError(
            f"moved to the dead letters: its worker ended {len(letter.story)} times while it ran, "
            f"which counts {points(letter.story):g}; at last: {reason}"
        )
    logger.error("task %s[%s] was %s", letter.task, letter.task_id or letter.id, error)
    if not letter.task_id:
        return
    try:
        app.backend.store_result(letter.task_id, error, "FAILURE")
    except Exception:
        logger.exception("the result of the dead letter %s could not be stored", letter.id)
