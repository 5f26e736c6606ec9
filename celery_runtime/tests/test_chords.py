"""Chords whose parts are counted in PostgreSQL, and what is killed meanwhile: the end of each comes, with all results."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from postgresql import Cluster, PostgresProject, cluster

COUNT = "SELECT count FROM django_celery_results_chordcounter"
HOLD = "SELECT 1 FROM django_celery_results_chordcounter FOR UPDATE"
MANY = 500


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as one:
        yield one


@pytest.fixture
def jobs(server: Any, tmp_path: Path, database: Cluster) -> Iterator[PostgresProject]:
    runtime = {"parts": ["watchdog", "transport", "results", "database"], "delivery_limit": 0, "lease_seconds": 6}
    one = PostgresProject(tmp_path, server.url, runtime, cluster=database)
    one.migrate()
    yield one
    for process in one.processes:
        if process.poll() is None:
            one.kill(process)
    one.ask("DELETE FROM django_celery_results_taskresult RETURNING 1")
    one.ask("DELETE FROM django_celery_results_chordcounter RETURNING 1")


def chord(jobs: PostgresProject, parts: int, gates: dict[int, str] | None = None) -> str:
    """Send a chord; return the id of its body. The parts with a gate end when that is open."""
    return jobs.python(f"""if 1:
        from celery import chord
        parts = [django_jobs.part.s(one, {gates or {}!r}.get(one, "")) for one in range({parts})]
        print(chord(parts)(django_jobs.body.s()).id)
    """)


def open_gate(jobs: PostgresProject, name: str) -> None:
    Path(jobs.environment["EFFECTS"] + f"-{name}").touch()


def ended(jobs: PostgresProject, body: str, parts: int, timeout: float = 120) -> list[str]:
    """Wait for the end of a chord with all results; return what its body left, a line each time it ran."""
    wait_for(lambda: jobs.states().get(body) == "SUCCESS", f"the body; {jobs.log()[-3000:]}", timeout)
    lines = [line for line in jobs.effects() if line.startswith("body-")]
    assert set(lines) == {f"body-{parts}-{sum(range(parts))}"}
    # The body may run before the transaction that sent it has ended.
    wait_for(lambda: jobs.ask(COUNT) == [], "the counter is gone")
    return lines


def child_of(jobs: PostgresProject, part: int) -> int:
    """Return the process that began with a part last."""
    lines = wait_for(lambda: [one for one in jobs.effects() if one.startswith(f"part-{part}-")], f"part {part} begins")
    return int(lines[-1].rpartition("-")[2])


@contextmanager
def nobody_counts(jobs: PostgresProject, database: Cluster) -> Iterator[None]:
    """Hold the rows of all counters, so that a part that has stored its result can't count."""
    with database.connect() as connection, connection.transaction():
        connection.execute(HOLD)
        yield


def succeeded(jobs: PostgresProject) -> int:
    return list(jobs.states().values()).count("SUCCESS")


def test_many_parts_come_to_their_end(jobs: PostgresProject) -> None:
    jobs.consume(concurrency=4)
    assert len(ended(jobs, chord(jobs, MANY), MANY, 600)) == 1


def test_a_part_that_is_killed_before_it_has_counted_is_counted(jobs: PostgresProject, database: Cluster) -> None:
    jobs.consume(concurrency=2)
    body = chord(jobs, 3, {2: "last"})
    child = child_of(jobs, 2)
    wait_for(lambda: succeeded(jobs) == 2, "the others")
    with nobody_counts(jobs, database):
        open_gate(jobs, "last")
        wait_for(lambda: succeeded(jobs) == 3, "its result is stored")
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: "succeeded before the worker was lost" in jobs.log(), "the loss is noticed")
    assert len(ended(jobs, body, 3)) == 1


def test_a_part_that_is_counted_twice_ends_nothing_early(jobs: PostgresProject) -> None:
    worker = jobs.consume(concurrency=2)
    body = chord(jobs, 3, {1: "first", 2: "last"})
    wait_for(lambda: jobs.ask(COUNT) == [(2,)], "part 0 is counted")
    child_of(jobs, 1), child_of(jobs, 2)
    # It can't hear of the end of part 1, and so acknowledges nothing.
    worker.send_signal(signal.SIGSTOP)
    open_gate(jobs, "first")
    wait_for(lambda: jobs.ask(COUNT) == [(1,)], "part 1 is counted")
    jobs.kill(worker)
    jobs.consume(concurrency=2)
    wait_for(lambda: sum(one.startswith("part-1-") for one in jobs.effects()) == 2, "part 1 again")
    wait_for(lambda: sum(one.startswith("part-2-") for one in jobs.effects()) == 2, "part 2 again")
    first = jobs.ask("SELECT task_id FROM django_celery_results_taskresult WHERE status = 'SUCCESS'")
    wait_for(lambda: jobs.log().count("succeeded in") >= 2 or len(first) == 3, "part 1 is done again")
    open_gate(jobs, "last")
    assert len(ended(jobs, body, 3)) == 1


def test_a_worker_that_is_killed_over_the_last_part_ends_it_later(jobs: PostgresProject, server: Any) -> None:
    worker = jobs.consume(concurrency=2)
    body = chord(jobs, 3, {2: "last"})
    wait_for(lambda: jobs.ask(COUNT) == [(1,)], "the others are counted")
    server.signal(signal.SIGSTOP)
    open_gate(jobs, "last")
    # The row is gone, or whoever counts the last part has it while the broker doesn't take the body.
    wait_for(lambda: not jobs.ask(f"{HOLD} SKIP LOCKED"), "the last part counts")
    jobs.kill(worker)
    server.signal(signal.SIGCONT)
    jobs.consume(concurrency=2)
    ended(jobs, body, 3)


def test_the_end_waits_for_the_broker(jobs: PostgresProject, server: Any) -> None:
    jobs.consume(concurrency=2)
    body = chord(jobs, 3, {2: "last"})
    wait_for(lambda: jobs.ask(COUNT) == [(1,)], "the others are counted")
    child_of(jobs, 2)
    server.client.config_set("maxmemory", 1)
    open_gate(jobs, "last")
    wait_for(lambda: "can't be sent now" in jobs.log() or jobs.states().get(body), "the broker refuses the body")
    server.client.config_set("maxmemory", 0)
    assert len(ended(jobs, body, 3)) == 1


def test_a_failed_part_is_the_end_s_failure(jobs: PostgresProject) -> None:
    jobs.consume(concurrency=2)
    body = jobs.python("""if 1:
        from celery import chord
        print(chord([django_jobs.part.s(1), django_jobs.part.s(-1)])(django_jobs.body.s()).id)
    """)
    wait_for(lambda: jobs.states().get(body) == "FAILURE", "the body")
    ((result,),) = jobs.ask("SELECT result FROM django_celery_results_taskresult WHERE task_id = %s", body)
    assert "ChordError" in result
    assert "Dependency" in result
    # The body may run before the transaction that sent it has ended.
    wait_for(lambda: jobs.ask(COUNT) == [], "the counter is gone")


def test_many_parts_come_to_their_end_under_kills(jobs: PostgresProject) -> None:
    chance = random.Random(1)  # noqa: S311 (not for secrets)
    worker = jobs.consume(concurrency=4)
    body = chord(jobs, MANY)
    for goal in range(50, MANY, 50):
        wait_for(lambda goal=goal: succeeded(jobs) >= goal or jobs.states().get(body), "progress", 600)
        if chance.random() < 0.5:
            jobs.kill(worker)
            worker = jobs.consume(concurrency=4)
        else:
            children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
            os.kill(int(chance.choice(children)), signal.SIGKILL)
    ended(jobs, body, MANY, 600)
