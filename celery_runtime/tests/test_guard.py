"""A task can't take its worker's main process with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import guard_ways
import pytest
from conftest import wait_for


@pytest.fixture
def guarded(celery: Any) -> Any:
    celery.runtime["parts"] = ["watchdog", "transport", "guard"]
    return celery


def test_a_task_that_kills_its_worker_fails_and_nobody_else_notices(guarded: Any, server: Any) -> None:
    worker = guarded.worker(concurrency=2)
    guarded.send("hold", "neighbour")
    wait_for(lambda: "begin-neighbour" in guarded.effects(), guarded.log())
    guarded.send("kill_main_process", task_id="killer")
    wait_for(lambda: "PermissionError" in guarded.log(), f"the killer is refused; {guarded.log()}")
    wait_for(lambda: server.client.hlen("unacked") == 1, f"the killer is over; {guarded.log()}")
    guarded.release("neighbour")
    wait_for(lambda: "neighbour" in guarded.effects(), guarded.log())
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    assert worker.poll() is None
    assert guarded.effects() == ["begin-neighbour", "kill", "neighbour"]


def test_every_way_to_signal_the_main_process_is_refused_and_others_go_on_to_work(guarded: Any) -> None:
    guarded.worker(concurrency=1)
    guarded.send("signal_in_every_way")
    wanted = {f"{name}-refused" for name in guard_ways.REFUSED} | {f"{name}-passed" for name in guard_ways.ALLOWED}
    wait_for(lambda: len(guarded.effects()) >= len(wanted) or "Traceback" in guarded.log(), guarded.log())
    assert set(guarded.effects()) == wanted, guarded.log()


def test_the_kernel_takes_a_child_first_when_memory_runs_out(guarded: Any) -> None:
    worker = guarded.worker(concurrency=1)
    folder = Path("/proc", str(worker.pid))
    [child] = wait_for(lambda: (folder / "task" / str(worker.pid) / "children").read_text().split(), "a child")
    wanted = min(int((folder / "oom_score_adj").read_text()) + 500, 1000)
    wait_for(lambda: int(Path("/proc", child, "oom_score_adj").read_text()) == wanted, guarded.log())
    assert "a task may take its worker with it" not in guarded.log()


def test_a_child_that_replaces_another_is_set_apart_too(guarded: Any) -> None:
    worker = guarded.worker(concurrency=1, options="--max-tasks-per-child=1")
    for count in (1, 2):
        guarded.send("kill_main_process")
        wait_for(lambda wanted=count: guarded.log().count("PermissionError: [Errno 1]") >= wanted, guarded.log())
    assert worker.poll() is None


def test_another_pool_is_named_in_the_log(guarded: Any) -> None:
    guarded.worker(options="--pool=solo")
    assert "a task may take its worker with it" in guarded.log()
