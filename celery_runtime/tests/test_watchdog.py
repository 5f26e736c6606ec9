from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for

# As a unit with WatchdogSec=4 would say (µs).
WATCHDOG = 4


class Manager:
    """What systemd is for a unit of Type=notify: a socket that gets the messages."""

    def __init__(self, path: Path, watchdog: int = WATCHDOG) -> None:
        self.messages: list[tuple[float, str]] = []
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(watchdog * 1_000_000)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            message = self._socket.recv(4096).decode()
            self.messages.append((time.monotonic(), message))

    def said(self, text: str) -> bool:
        return any(text in message for _, message in self.messages)

    def longest_silence(self, since: float) -> float:
        """Return the longest time between two signs of life since then, up to now (s)."""
        times = [
            since,
            *(at for at, message in self.messages if "WATCHDOG=1" in message and at > since),
            time.monotonic(),
        ]
        return max(later - earlier for earlier, later in pairwise(times))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    yield Manager(tmp_path / "notify")


def test_a_worker_is_ready_when_it_consumes(celery: Any, server: Any, manager: Manager) -> None:
    server.signal(signal.SIGKILL)
    celery.spawn(**manager.environment)
    wait_for(lambda: "Connection refused" in celery.log(), "it looks for the broker")
    assert not manager.said("READY=1")
    server.start()
    wait_for(lambda: manager.said("READY=1"), "ready")
    assert " ready." in celery.log()


def test_signs_of_life_go_on_while_a_task_runs_and_while_the_broker_is_away(
    celery: Any, server: Any, manager: Manager
) -> None:
    celery.worker(concurrency=1, **manager.environment)
    celery.send("note", "long", 6)
    wait_for(lambda: "long" in celery.effects(), "the task")
    begun = manager.messages[0][0]
    assert manager.longest_silence(begun) < WATCHDOG
    outage = time.monotonic()
    server.signal(signal.SIGKILL)
    time.sleep(14)
    assert manager.longest_silence(outage) < WATCHDOG
    server.start()
    back = time.monotonic()
    celery.send("note", "after")
    wait_for(lambda: "after" in celery.effects(), "work goes on")
    # The reconnect delay is capped at 5 s.
    assert time.monotonic() - back < 10


def test_signs_of_life_go_on_while_redis_is_frozen(celery: Any, server: Any, tmp_path: Path) -> None:
    """It accepts connections and answers nothing, so each attempt of a worker takes a whole timeout, 5 s here."""
    manager = Manager(tmp_path / "patient", 16)
    celery.worker(concurrency=4, options="--task-events", **manager.environment)
    for number in range(4):
        celery.send("note", f"n{number}", 6)
    wait_for(lambda: all(f"begin-n{number}" in celery.effects() for number in range(4)), "four tasks")
    frozen = time.monotonic()
    server.signal(signal.SIGSTOP)
    # Four tasks end meanwhile, and can't be acknowledged.
    time.sleep(40)
    assert manager.longest_silence(frozen) < 16
    server.signal(signal.SIGCONT)
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    assert len(celery.effects()) == 8


def test_a_heartbeat_that_is_due_when_the_broker_goes_holds_nothing_up(celery: Any, server: Any) -> None:
    assert server.process is not None
    worker = celery.worker(options="--task-events", KILL_AT_HEARTBEAT=str(server.process.pid))
    wait_for(lambda: "Cannot connect to redis" in celery.log(), "it looks for the broker")
    celery.stop(worker)


def test_a_frozen_worker_gives_no_sign(celery: Any, manager: Manager) -> None:
    worker = celery.worker(**manager.environment)
    wait_for(lambda: manager.said("WATCHDOG=1"), "signs of life")
    worker.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    time.sleep(WATCHDOG + 2)
    assert manager.longest_silence(frozen) > WATCHDOG


def test_a_worker_that_ends_says_so(celery: Any, manager: Manager) -> None:
    celery.stop(celery.worker(**manager.environment))
    assert manager.said("STOPPING=1")


def test_without_the_part_nothing_is_said(celery: Any, manager: Manager) -> None:
    celery.runtime["parts"] = ["transport"]
    celery.stop(celery.worker(**manager.environment))
    assert manager.messages == []
