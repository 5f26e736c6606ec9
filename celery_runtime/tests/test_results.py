from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from django_project import Project, project


@pytest.fixture
def jobs(server: Any, tmp_path: Path) -> Iterator[Project]:
    yield from project(server, tmp_path, "results")


def stored(jobs: Project, task: str, state: str) -> None:
    wait_for(lambda: jobs.states().get(task) == state, f"{task} {state}, {jobs.states()}; {jobs.log()}")


def test_a_task_waits_for_the_database_and_is_done_once(jobs: Project) -> None:
    jobs.consume()
    with jobs.outage():
        task = jobs.delay("note", "one")
        # Celery has handed it to a child, which can't say that it begins.
        wait_for(lambda: f"[{task}] received" in jobs.log(), "received")
        time.sleep(2)
        assert jobs.effects() == []
    stored(jobs, task, "SUCCESS")
    assert jobs.effects() == ["begin-one", "one"]


def test_a_result_waits_for_the_database(jobs: Project) -> None:
    jobs.consume()
    task = jobs.delay("hold", "one")
    wait_for(jobs.effects, "begun")
    with jobs.outage():
        jobs.release("one")
        wait_for(lambda: "one" in jobs.effects(), "its end")
        # A while in which a result would be given up.
        time.sleep(3)
    stored(jobs, task, "SUCCESS")
    assert jobs.effects() == ["begin-one", "one"]


def test_stock_celery_loses_it(jobs: Project, server: Any) -> None:
    jobs.runtime = {"parts": []}
    jobs.consume()
    task = jobs.delay("hold", "one")
    wait_for(lambda: jobs.states() == {task: "STARTED"} and jobs.effects(), "begun")
    with jobs.outage():
        jobs.release("one")
        # Acknowledged, and the result nowhere.
        wait_for(lambda: "one" in jobs.effects() and not server.client.hlen("unacked"), "its end")
    assert jobs.states() == {task: "STARTED"}


def test_the_soft_limit_makes_no_failure_of_a_result_that_waits(jobs: Project) -> None:
    jobs.consume()
    task = jobs.delay("hold", "one", soft_time_limit=20)
    wait_for(jobs.effects, "begun")
    with jobs.outage():
        jobs.release("one")
        wait_for(lambda: "Soft time limit (20s) exceeded" in jobs.log(), "soft limit")
        time.sleep(2)
        assert jobs.effects() == ["begin-one", "one"]
    stored(jobs, task, "SUCCESS")


def test_a_result_that_still_waits_at_the_hard_limit_is_made_anew(jobs: Project) -> None:
    jobs.consume()
    task = jobs.delay("hold", "one", time_limit=20)
    wait_for(jobs.effects, "begun")
    with jobs.outage():
        jobs.release("one")
        wait_for(lambda: "isn't stored, and its message goes back to the queue" in jobs.log(), "given up")
    stored(jobs, task, "SUCCESS")
    assert jobs.effects().count("one") == 2


def test_a_task_that_cannot_begin_goes_back_to_its_queue(jobs: Project) -> None:
    jobs.consume()
    with jobs.outage():
        task = jobs.delay("note", "one", soft_time_limit=4, time_limit=6)
        wait_for(lambda: jobs.log().count("goes back to its queue before it has begun") >= 2, "back in its queue")
    stored(jobs, task, "SUCCESS")
    assert jobs.effects() == ["begin-one", "one"]


def test_a_stop_during_an_outage_stores_what_comes_back_in_time(jobs: Project) -> None:
    worker = jobs.consume()
    task = jobs.delay("note", "one", 600, time_limit=10)
    wait_for(jobs.effects, "begun")
    with jobs.outage():
        wait_for(lambda: "Hard time limit" in jobs.log(), "hard limit")
        worker.send_signal(signal.SIGTERM)
        time.sleep(2)
    worker.wait(120)
    assert jobs.states() == {task: "FAILURE"}


def test_the_main_process_keeps_what_it_cannot_store_and_serves_on(jobs: Project) -> None:
    jobs.consume()
    late = jobs.delay("note", "late", 600, time_limit=10)
    wait_for(jobs.effects, "begun")
    with jobs.outage():
        wait_for(lambda: f"the state FAILURE of the task {late} is stored when it is back" in jobs.log(), "kept")
        assert "pong" in jobs.python("print(django_jobs.app.control.ping(timeout=5))")
    stored(jobs, late, "FAILURE")
    stored(jobs, jobs.delay("note", "next"), "SUCCESS")


def test_a_lost_child_leaves_the_state_of_the_last_attempt(jobs: Project) -> None:
    jobs.consume()
    task = jobs.delay("die", "one")
    stored(jobs, task, "RETRY")
    with jobs.outage():
        # The next attempts end likewise, and their states can't be stored.
        time.sleep(5)
    stored(jobs, task, "FAILURE")
    assert jobs.effects().count("begin-one") == 3


# Stores something, in code that has a lock of its own meanwhile, and forks while it does.
FORK = """
import os, threading
from celery_runtime.keeper import Keeper
lock, begun, forked = threading.Lock(), threading.Event(), threading.Event()
def run(**_):
    with lock:
        begun.set()
        forked.wait({seconds})
threading.Thread(target=Keeper().store, args=("it", run, lambda error: False), daemon=True).start()
begun.wait()
child = os.fork()
if not child:
    os._exit(0 if lock.acquire(timeout=2) else 1)
print("is taken" if os.waitpid(child, 0)[1] else "is free", "after" if lock.acquire(blocking=False) else "before")
forked.set()
"""


def test_no_child_inherits_a_lock_of_what_stores_results(jobs: Project) -> None:
    """It would hang at its first use of the database: SQLite and OpenSSL have such locks, and 4 of 400 children hung."""
    assert jobs.python(FORK.format(seconds=0.3)) == "is free after"


def test_a_fork_does_not_wait_for_a_result_backend_that_gives_no_answer(jobs: Project) -> None:
    assert jobs.python(FORK.format(seconds="None")) == "is taken before"


def test_who_only_reads_a_result_gets_the_error_at_once(jobs: Project) -> None:
    with jobs.outage():
        code = """
            import time; begun = time.monotonic()
            try: django_jobs.app.AsyncResult('none').state
            except Exception as error: print(type(error).__name__, time.monotonic() - begun < 3)
        """
        assert jobs.python("\n".join(line.strip() for line in code.splitlines())) == "OperationalError True"


def test_a_chord_is_counted_after_an_outage(jobs: Project) -> None:
    jobs.consume(concurrency=2)
    code = """
        from celery import chord
        print(chord([django_jobs.hold.si("one"), django_jobs.hold.si("two")])(django_jobs.note.si("all")).id)
    """
    body = jobs.python("\n".join(line.strip() for line in code.splitlines()))
    wait_for(lambda: len(jobs.effects()) == 2, "begun")
    with jobs.outage():
        jobs.release("one", "two")
        wait_for(lambda: {"one", "two"} <= set(jobs.effects()), "their end")
        time.sleep(3)
    stored(jobs, body, "SUCCESS")
    assert jobs.effects().count("all") == 1
