"""Tasks that would take their worker with them, were they let: each fails by itself, and nobody beside it notices."""

from __future__ import annotations

from collections.abc import Callable

from testbench.faults.account import Moment, Seen
from testbench.faults.damage import deliveries, open_gate
from testbench.faults.engine import Bench, Row
from testbench.faults.host import wait_for


def signalling_task(bench: Bench) -> list[Moment]:
    """Send a task that sends its worker's main process a SIGKILL."""
    return [failing(bench, "jobs.signal_worker")]


def greedy_task(bench: Bench) -> list[Moment]:
    """Send a task that takes all the memory that its pool has."""
    return [failing(bench, "jobs.take_memory")]


def failing(bench: Bench, task: str) -> Moment:
    """Send a task that fails while another job runs; return when it has failed."""
    [neighbour] = bench.load.submit("neighbour", task="jobs.wait_for_gate", queue="default")
    wait_for(lambda: deliveries(bench.seen(), neighbour), 60)
    [job] = bench.load.submit("culprit", task=task, queue="default")
    wait_for(lambda: any(row["task_id"] == job and row["status"] == "FAILURE" for row in bench.seen().results), 60)
    open_gate(bench, neighbour)
    return bench.moment("main")


def failed_alone(word: str) -> Callable[[Row, Seen], list[str]]:
    """Return a check that only the culprit failed, for this reason, and that neither its worker nor a neighbour noticed."""

    def check(row: Row, seen: Seen) -> list[str]:
        reasons = [str(result["result"]) for result in seen.results if result["task_id"] in row.account.failed]
        wrong = [f"it failed for another reason: {reason}" for reason in reasons if word not in reason]
        twice = [job for job in row.account.twice if job not in row.account.failed]
        wrong += [f"neighbours were delivered twice: {twice}"] if twice else []
        return wrong + ([f"its worker was started again: {row.restarts}"] if row.restarts else [])

    return check
