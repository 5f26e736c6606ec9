"""What the loss of a worker counts against the tasks that it ran: points, of which `delivery_limit` make a dead letter.

A point stands for an end that the task can be blamed for. An end from outside (a kill, a power cut, a watchdog) counts a tenth
of it, as does one that several share: not nothing, so that no message comes back for ever.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .evidence import End

FULL, LITTLE = 1.0, 0.1
# Signals by which somebody else ends a child: SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM.
OUTSIDE_SIGNALS = frozenset({1, 2, 3, 9, 15})


@dataclass(frozen=True)
class Loss:
    """What a message is charged with for one loss of the process that ran it.

    Attributes:
        reason: for a log and for the story of a dead letter.
        points: what it counts.
        suspect: whether the message runs beside no other suspect from now on.
    """

    reason: str
    points: float = LITTLE
    suspect: bool = False


def judge(end: End, ran: Collection[str], suspects: Collection[str]) -> dict[str, Loss]:
    """Return the loss of each task.

    Args:
        end: how their main process ended.
        ran: tags of what it may have been running.
        suspects: tags of those of them that were suspects before.
    """
    if not end.inside:
        return dict.fromkeys(ran, Loss(end.reason))
    if len(ran) == 1:
        return dict.fromkeys(ran, Loss(f"{end.reason}; it ran alone", FULL, suspect=True))
    if len(suspects) == 1:
        of_others = Loss(f"{end.reason}; it ran beside a suspect", LITTLE, suspect=True)
        return {
            tag: Loss(f"{end.reason}; it was the only suspect", FULL, suspect=True) if tag in suspects else of_others
            for tag in ran
        }
    return dict.fromkeys(ran, Loss(f"{end.reason}; it was one of {len(ran)}", LITTLE, suspect=True))


def judge_child(message: str, out_of_memory: bool) -> Loss:
    """Return the loss of the one task that a child ran.

    Args:
        message: what Celery says of the child's end, as "signal 9 (SIGKILL)" or "exitcode 70" (billiard.common.human_status).
        out_of_memory: whether the kernel has killed a child for want of memory since the last one was lost.
    """
    found = re.search(r"signal (\d+)|exitcode -(\d+)", message)
    number = int(found[1] or found[2]) if found else 0
    if number == 9 and out_of_memory:
        return Loss(f"its process ended, for want of memory: {message}", FULL)
    if number in OUTSIDE_SIGNALS:
        return Loss(f"its process was killed from outside: {message}")
    return Loss(f"its process ended: {message}", FULL)


def points(story: list[dict[str, Any]]) -> float:
    """Return what a message's losses count together. One that says nothing was written by an older release."""
    return round(sum(_points(event.get("points")) for event in story), 1)


def _points(value: Any) -> float:
    # From the record, where not only the runtime can write.
    return min(max(value, 0.0), FULL) if isinstance(value, int | float) and value == value else LITTLE


def is_suspect(story: list[dict[str, Any]]) -> bool:
    """Return whether a message with these losses may be the cause of them."""
    return points(story) >= FULL or any(event.get("suspect") for event in story)
