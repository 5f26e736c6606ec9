"""One fault: bring the host to rest, put it under load, do the fault, wait until all is done, and sum up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from testbench.console import Problem, say
from testbench.faults.account import Account, Moment, Seen, account, over, progress
from testbench.faults.host import Target, wait_for
from testbench.faults.load import Load, Sender
from testbench.podman import ROOT

ACCOUNTS = ROOT / ".cache/faults/accepted"
UNITS = (
    "redis-server.service",
    "celery-worker@high.service",
    "celery-worker@main.service",
    "celery-beat.service",
    "django-web.service",
)
SPARE = "celery-worker@spare.service"
# A run of few jobs would show nothing.
ENOUGH = 20
# Seconds. A bound on a hang; what it took is measured, and stands in the table.
FIRST_PROGRESS = 60.0


@dataclass
class Bench:
    """What a fault is done with: the host, and the load that runs meanwhile."""

    target: Target
    load: Load
    rng: random.Random

    def seen(self) -> Seen:
        """Return what is known of this run's jobs now."""
        return self.target.seen(self.load.run)

    def moment(self, *nodes: str, only: str = "") -> Moment:
        """Return now, as the end of a fault; these workers have to show progress."""
        return Moment(time.time(), nodes or ("high", "main"), only)

    def wait_for_progress(self, moment: Moment, patience: float = 30) -> float | None:
        """Wait until all workers of a moment have shown progress."""
        return wait_for(lambda: progress(self.seen(), moment), patience)

    def hold(self, *queues: str, count: int = 2, seconds: float = 3.0) -> None:
        """Make sure that long jobs are being worked on right now, so that a kill has something to lose."""
        names = {name for queue in queues for name in self.load.submit("held", count, queue=queue, seconds=seconds)}
        wait_for(lambda: names & {row["job"] for row in self.seen().deliveries}, 60)


def nothing(_target: Target) -> None:
    """Do nothing."""


def fine(_row: Row, _seen: Seen) -> list[str]:
    """Find no fault."""
    return []


@dataclass(frozen=True)
class Fault:
    """Something that is done to a host.

    Attributes:
        name: by which it is asked for.
        title: what the table calls it.
        strike: does it, and returns the ends of what was done; called under load.
        first_progress: seconds that the first progress may take after each of these ends.
        prepare: brings the host into the state that the fault needs; called before the load.
        heal: undoes what would not heal by itself, also after a crash of the harness.
        check: looks for what this fault in particular must have left; returns what is wrong.
        fails: number of jobs that are meant to fail.
        absent: units that are meant to be gone at the end.
        patience: seconds to wait for the rest of the jobs while nothing moves.
    """

    name: str
    title: str
    strike: Callable[[Bench], list[Moment]]
    first_progress: float = FIRST_PROGRESS
    prepare: Callable[[Target], None] = nothing
    heal: Callable[[Target], None] = nothing
    check: Callable[[Row, Seen], list[str]] = fine
    fails: int = 0
    absent: tuple[str, ...] = ()
    patience: float = 120


@dataclass
class Row:
    """A line of the table: what a fault did, and whether that is within its targets."""

    name: str
    title: str
    run: str
    began: float
    account: Account
    refused: int
    unknown: int
    slowest_request: float
    seconds: float
    first_progress_target: float
    restarts: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    journal: str = ""


def targets(row: Row, fault: Fault) -> list[str]:
    """Return which of the targets that hold for every fault were missed."""
    sums = row.account
    missed = []
    for what, names in (
        ("lost", sums.lost),
        ("with an effect twice", sums.effect_twice),
        ("done, but without a stored result", sums.without_result),
    ):
        if names:
            missed.append(f"{len(names)} {what}: {', '.join(names[:5])}")
    if len(sums.failed) != fault.fails:
        missed.append(f"{len(sums.failed)} failed where {fault.fails} should: {', '.join(sums.failed[:5])}")
    if sums.first_progress is None:
        missed.append("no progress by all of the workers concerned")
    elif sums.first_progress > fault.first_progress:
        missed.append(f"first progress after {sums.first_progress} s, allowed are {fault.first_progress:g}")
    if sums.accepted < ENOUGH:
        missed.append(f"only {sums.accepted} jobs were accepted, so this shows little")
    return missed


def drain(bench: Bench, fault: Fault) -> None:
    """Wait until every accepted job is over, or nothing has moved for as long as the fault's patience."""
    accepted = bench.load.ledger.accepted
    moved, before = time.monotonic(), (-1, -1)
    while time.monotonic() - moved < fault.patience:
        try:
            done, failed, without_result = over(accepted, bench.seen())
        except Problem:
            time.sleep(1)
            continue
        now = len(done) + len(failed), len(without_result)
        if now == (len(accepted), 0):
            return
        if now != before:
            moved, before = time.monotonic(), now
        time.sleep(0.5)


def rest(target: Target, absent: tuple[str, ...] = ()) -> list[str]:
    """Wait until all units are active; return those that aren't after three minutes."""
    units = tuple(unit for unit in UNITS if unit not in absent)
    if wait_for(lambda: target.active(units), 180):
        return []
    return [unit for unit in units if not target.active((unit,))]


def settle(target: Target) -> None:
    """Bring the host to rest before a fault.

    Raises:
        Problem: it doesn't come to rest.
    """
    target.systemctl("start", "--no-block", *UNITS)
    if down := rest(target):
        raise Problem(f"The host doesn't come to rest; these units aren't active: {', '.join(down)}")
    target.systemctl("stop", SPARE)
    if not wait_for(lambda: target.redis("PING").strip() == "PONG" and target.sql("select 1") == "1", 120):
        raise Problem("The host doesn't come to rest: the broker or the database doesn't answer.")


def restarts(target: Target) -> dict[str, int]:
    """Return how often systemd has started each unit again by itself, so far."""
    return {unit: int(target.show(unit, "NRestarts") or 0) for unit in UNITS}


def kinds(errors: dict[str, str]) -> dict[str, int]:
    """Count errors by their first words."""
    counts: dict[str, int] = {}
    for error in errors.values():
        counts[error[:70]] = counts.get(error[:70], 0) + 1
    return counts


def run(target: Target, fault: Fault, rng: random.Random, label: str, sender: Sender, folder: Path = ACCOUNTS) -> Row:
    """Do one fault to the host and return its row.

    Args:
        target: the host.
        fault: what is done to it.
        rng: makes up the jobs.
        label: begins the names of this run's jobs; no other run may have it.
        sender: sends jobs on the host.
        folder: where the file of what was accepted is kept.

    Raises:
        Problem: the host can't be brought to rest, or the load doesn't flow.
    """
    began, clock = time.time(), time.monotonic()
    load = Load(target, sender, rng, label, folder)
    bench = Bench(target, load, rng)
    try:
        fault.heal(target)
        fault.prepare(target)
        settle(target)
        before = restarts(target)
        load.start()
        if bench.wait_for_progress(bench.moment()) is None:
            errors = kinds(load.ledger.refused | load.ledger.unknown)
            raise Problem(f"{fault.name}: the load doesn't flow even before the fault: {errors or 'nothing is done'}")
        moments = fault.strike(bench)
        for moment in moments:
            bench.wait_for_progress(moment, fault.first_progress + fault.patience)
        wait_for(lambda: len(load.ledger.accepted) >= ENOUGH, 60)
        load.stop()
        drain(bench, fault)
        down = rest(target, fault.absent)
        after = restarts(target)
        seen = bench.seen()
        ledger = load.ledger
        row = Row(
            name=fault.name,
            title=fault.title,
            run=label,
            began=began,
            account=account(ledger.accepted, seen, moments),
            refused=len(ledger.refused),
            unknown=len(ledger.unknown),
            slowest_request=round(load.slowest, 2),
            seconds=0.0,
            first_progress_target=fault.first_progress,
            restarts={unit: after[unit] - before[unit] for unit in UNITS if after[unit] > before[unit]},
            errors=kinds(ledger.refused | ledger.unknown),
        )
        row.problems = (
            targets(row, fault) + fault.check(row, seen) + [f"needs a hand: {unit} is not active" for unit in down]
        )
        if row.problems:
            row.journal = target.journal(began)
    finally:
        load.stop()
        load.close()
        fault.heal(target)
    row.seconds = round(time.monotonic() - clock, 1)
    return row


def announce(fault: Fault, number: int, total: int | None = None) -> None:
    """Say which fault comes next."""
    of = f" of {total}" if total else ""
    say(f"  {number:>2}{of}  {time.strftime('%H:%M:%S')}  {fault.title} …")
