"""The script that stops a worker, with real processes in the worker's place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Role

# Says which signal it gets, and ends at the one that it is told to.
WORKER = """
import signal, sys
def note(number, _):
    print(signal.Signals(number).name, flush=True)
    if signal.Signals(number).name == sys.argv[1]:
        sys.exit(0)
for name in ("SIGTERM", "SIGQUIT"):
    signal.signal(getattr(signal, name), note)
print("ready", flush=True)
while True:
    signal.pause()
"""


class Stop:
    """Runs the script in a folder whose `systemctl` says in which state the machine is, as systemd would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "celery-worker-stop"
        self.script.write_text(Role("celery_worker").render("usr/local/libexec/celery-worker-stop.j2"))
        self.state("running")

    def state(self, name: str) -> None:
        path = self.folder / "systemctl"
        path.write_text(f"#!/bin/sh\necho {name}\n")
        path.chmod(0o755)

    def begin(self, pid: int | None, *arguments: int) -> subprocess.Popen[str]:
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}"} | ({"MAINPID": str(pid)} if pid else {})
        command = ["sh", str(self.script), *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, worker: subprocess.Popen[str] | None, *arguments: int) -> tuple[str, float]:
        """Return what the script said and how long it took (s)."""
        began = time.monotonic()
        running = self.begin(worker.pid if worker else None, *arguments)
        # As systemd does; until then a process that ended is still there for the script.
        if worker:
            worker.wait(30)
        out, err = running.communicate(timeout=30)
        assert (running.returncode, err) == (0, "")
        return out, time.monotonic() - began


@pytest.fixture
def stop(tmp_path: Path) -> Stop:
    return Stop(tmp_path)


@pytest.fixture(name="worker")
def _worker() -> Iterator[Any]:
    processes: list[subprocess.Popen[str]] = []

    def start(ends_at: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", WORKER, ends_at], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def signals(worker: subprocess.Popen[str]) -> list[str]:
    assert worker.stdout is not None
    return worker.stdout.read().split()


def test_a_worker_whose_tasks_end_gets_no_second_signal(stop: Stop, worker: Any) -> None:
    process = worker("SIGTERM")
    said, seconds = stop.run(process, 20, 20, 5)
    assert signals(process) == ["SIGTERM"]
    assert seconds < 3
    assert "within 20 s" in said


def test_one_that_was_frozen_is_woken(stop: Stop, worker: Any) -> None:
    process = worker("SIGTERM")
    process.send_signal(signal.SIGSTOP)
    stop.run(process, 20, 20, 5)
    assert (process.returncode, signals(process)) == (0, ["SIGTERM"])


def test_after_the_grace_what_runs_is_given_back(stop: Stop, worker: Any) -> None:
    process = worker("SIGQUIT")
    said, seconds = stop.run(process, 2, 20, 5)
    assert signals(process) == ["SIGTERM", "SIGQUIT"]
    assert 1 <= seconds < 5
    assert "cold shutdown after 2 s" in said


def test_one_that_does_not_react_is_killed(stop: Stop, worker: Any) -> None:
    process = worker("never")
    said, seconds = stop.run(process, 1, 20, 1)
    assert (process.returncode, signals(process)) == (-9, ["SIGTERM", "SIGQUIT"])
    assert seconds < 6
    assert "killed 1 s after" in said


@pytest.mark.parametrize(("grace", "at_reboot"), [(20, 1), (1, 20)])
def test_a_shutdown_of_the_machine_has_the_shorter_grace(stop: Stop, worker: Any, grace: int, at_reboot: int) -> None:
    stop.state("stopping")
    said, seconds = stop.run(worker("SIGQUIT"), grace, at_reboot, 5)
    assert seconds < 6
    assert "as the machine goes down: running tasks may end within 1 s" in said


def test_a_shutdown_that_begins_meanwhile_is_noticed(stop: Stop, worker: Any) -> None:
    process = worker("SIGQUIT")
    running = stop.begin(process.pid, 300, 1, 5)
    time.sleep(0.5)
    stop.state("stopping")
    process.wait(12)
    assert "as the machine goes down" in running.communicate(timeout=10)[0]


def test_a_worker_that_ended_by_itself_needs_nothing(stop: Stop) -> None:
    assert stop.run(None, 20, 20, 5)[0] == ""
