"""What became of the jobs: pure functions from what was accepted and what was seen to a row of the table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

WORK = "jobs.work"
QUEUES = ("high", "default", "low")
# Seconds that a long job takes, and that one with an ETA waits.
LONG = (3.0, 3.6)
ETA = (1.0, 3.0)


@dataclass(frozen=True)
class Job:
    """A job to send.

    Attributes:
        id: its name, which is its message's too.
        task: name of the task.
        queue: where it is sent to.
        seconds: how long it works.
        countdown: seconds before it may begin; 0: at once.
    """

    id: str
    task: str = WORK
    queue: str = "default"
    seconds: float = 0.0
    countdown: float = 0.0


def mix(rng: random.Random, run: str, way: str) -> Iterator[Job]:
    """Make up jobs without end: most of them short, some long, some with an ETA, over three queues."""
    number = 0
    while True:
        number += 1
        kind = rng.choices(("short", "long", "eta"), (84, 5, 11))[0]
        yield Job(
            f"{run}-{way}-{kind}-{number:04d}",
            queue=rng.choice(QUEUES),
            seconds=round(rng.uniform(*LONG) if kind == "long" else rng.uniform(0, 0.05), 3),
            countdown=round(rng.uniform(*ETA), 2) if kind == "eta" else 0.0,
        )


@dataclass(frozen=True)
class Seen:
    """What the database and the broker say of a run's jobs, as rows of plain values.

    Attributes:
        deliveries: job, task_id, node, process, retries, at (s since 1970).
        effects: job, node, at.
        results: task_id, status, at, and the result's text.
        dead: ids of dead letters.
    """

    deliveries: list[dict[str, Any]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    dead: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Moment:
    """The end of a fault: from here on, the clock runs until there is progress.

    Attributes:
        at: seconds since 1970.
        nodes: the workers that have to show progress; the slowest of them counts.
        only: part of the names of the jobs that count as progress; empty: all.
    """

    at: float
    nodes: tuple[str, ...]
    only: str = ""


@dataclass(frozen=True)
class Account:
    """The sums of a run. Lists name jobs; times are in seconds, and None stands for never."""

    accepted: int
    done: int
    lost: list[str]
    twice: list[str]
    effect_twice: list[str]
    failed: list[str]
    without_result: list[str]
    first_progress: float | None
    all_done: float | None


def task_ids(seen: Seen) -> dict[str, set[str]]:
    """Return the ids of each job's messages. Beat makes up ids of its own, and only a delivery tells which."""
    ids: dict[str, set[str]] = {}
    for row in seen.deliveries:
        ids.setdefault(row["job"], set()).add(row["task_id"])
    return ids


def over(accepted: dict[str, float], seen: Seen) -> tuple[set[str], set[str], set[str]]:
    """Return the accepted jobs that are done, those that failed with a reason, and the done ones without a stored result."""
    ids = task_ids(seen)
    states: dict[str, str] = {row["task_id"]: row["status"] for row in seen.results}
    done = {row["job"] for row in seen.effects} & accepted.keys()

    def any_state(job: str, state: str) -> bool:
        return any(states.get(task) == state for task in ids.get(job, set()) | {job})

    failed = {job for job in accepted.keys() - done if job in seen.dead or any_state(job, "FAILURE")}
    return done, failed, {job for job in done if not any_state(job, "SUCCESS")}


def progress(seen: Seen, moment: Moment) -> float | None:
    """Return how long after a moment the slowest of its workers had begun and finished a job; None: one hasn't yet."""
    began: dict[tuple[str, str], float] = {}
    for row in seen.deliveries:
        key = row["job"], row["node"]
        began[key] = max(began.get(key, 0), row["at"])
    first: dict[str, float] = {}
    for row in seen.effects:
        # A job that was under way before says nothing about whether work is taken again.
        begun = began.get((row["job"], row["node"]), 0)
        if begun < moment.at or row["at"] < begun or moment.only not in row["job"]:
            continue
        node = row["node"].split("@")[0]
        first[node] = min(first.get(node, row["at"]), row["at"])
    if not all(node in first for node in moment.nodes):
        return None
    return max((first[node] for node in moment.nodes), default=moment.at) - moment.at


def account(accepted: dict[str, float], seen: Seen, moments: list[Moment]) -> Account:
    """Sum up a run: what was accepted (job and time), what was seen, and when the fault was over."""
    done, failed, without_result = over(accepted, seen)
    lost = accepted.keys() - done - failed
    # A retry that the task itself asked for is no second delivery.
    begun = Counter((row["job"], row["retries"]) for row in seen.deliveries)
    effects = Counter(row["job"] for row in seen.effects)
    waits = [progress(seen, moment) for moment in moments]
    known = [wait for wait in waits if wait is not None]
    last = [row["at"] for row in seen.effects if row["job"] in accepted] + [
        row["at"] for row in seen.results if row["at"] is not None
    ]
    finished = bool(moments) and not lost and not without_result
    return Account(
        accepted=len(accepted),
        done=len(done),
        lost=sorted(lost),
        twice=sorted({job for (job, _), count in begun.items() if count > 1}),
        effect_twice=sorted(job for job, count in effects.items() if count > 1),
        failed=sorted(failed),
        without_result=sorted(without_result),
        first_progress=round(max(known), 1) if known and len(known) == len(waits) else None,
        all_done=round(max(0.0, max(last, default=0.0) - moments[-1].at), 1) if finished else None,
    )
