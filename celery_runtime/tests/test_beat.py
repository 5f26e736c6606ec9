from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from django_project import Project, project


@pytest.fixture
def jobs(server: Any, tmp_path: Path) -> Iterator[Project]:
    yield from project(server, tmp_path, "watchdog", "beat")


class Manager:
    """The service manager's end of a unit: remembers what it was told, and when."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.setblocking(False)
        self.heard: list[tuple[float, str]] = []

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": "60000000"}

    def listen(self) -> list[str]:
        while True:
            try:
                self.heard.append((time.monotonic(), self.socket.recv(1024).decode()))
            except BlockingIOError:
                return [message for _, message in self.heard]

    def longest_silence(self, seconds: float) -> float:
        """Listen for so long and return the longest time without a word."""
        end = last = time.monotonic()
        end += seconds
        longest = 0.0
        while time.monotonic() < end:
            count = len(self.heard)
            if len(self.listen()) > count:
                last = time.monotonic()
            longest = max(longest, time.monotonic() - last)
            time.sleep(0.05)
        return longest


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    one = Manager(tmp_path)
    yield one
    one.socket.close()


def every(jobs: Project, seconds: int, name: str = "one", task: str = "django_jobs.note", **fields: Any) -> None:
    """Write an entry into the schedule that is due in `seconds`, and every so many seconds after that."""
    code = """
        from django.utils.timezone import now
        from django_celery_beat.models import IntervalSchedule, PeriodicTask
        interval, _ = IntervalSchedule.objects.get_or_create(every={seconds}, period="seconds")
        PeriodicTask.objects.create(name={name!r}, task={task!r}, interval=interval, args='["run"]', last_run_at=now(), **{fields!r})
    """
    jobs.python("\n".join(line.strip() for line in code.format(**locals()).splitlines()))


def beat(jobs: Project, **environment: str) -> Any:
    return jobs.start("beat", "beat", "--loglevel=INFO", "--pidfile=", **environment)


def entry(jobs: Project, name: str = "one") -> tuple[str, int]:
    """Return when an entry ran last and how often, as the database knows it."""
    with jobs.session() as connection:
        query = "SELECT last_run_at, total_run_count FROM django_celery_beat_periodictask WHERE name = ?"
        return connection.execute(query, [name]).fetchone()


def runs(server: Any) -> list[str]:
    """Return the ids of the published runs."""
    return [json.loads(message)["headers"]["id"] for message in server.client.lrange("low", 0, -1)]


def test_it_is_ready_and_gives_signs_of_life(jobs: Project, manager: Manager) -> None:
    beat(jobs, **manager.environment)
    wait_for(lambda: "READY=1\nSTATUS=scheduling" in manager.listen(), "ready")
    assert manager.longest_silence(12) < 6
    assert "WATCHDOG=1" in manager.listen()


def test_a_long_interval_of_the_projects_is_shortened(jobs: Project, manager: Manager) -> None:
    jobs.settings = {"beat_max_loop_interval": 100}
    code = """
        from celery_runtime import beat
        app = django_jobs.app
        print(beat.scheduler_class(beat.named(app.conf.beat_scheduler), ["watchdog"])(app=app, lazy=True).max_interval)
    """
    assert jobs.python("\n".join(line.strip() for line in code.splitlines())) == "20.0"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_that_is_due_while_the_broker_is_away_is_published_later(
    jobs: Project, server: Any, manager: Manager, how: int
) -> None:
    every(jobs, 6)
    beat(jobs, **manager.environment)
    wait_for(lambda: "READY=1\nSTATUS=scheduling" in manager.listen(), "ready")
    server.signal(how)
    before = entry(jobs)
    assert manager.longest_silence(15) < 8
    assert entry(jobs) == before, "written down before it was published"
    if how == signal.SIGKILL:
        server.start()
    else:
        server.signal(signal.SIGCONT)
    wait_for(lambda: runs(server), "published", 8)
    wait_for(lambda: entry(jobs)[1] >= 1, "written down")


def test_a_full_broker_is_waited_for(jobs: Project, server: Any) -> None:
    every(jobs, 60)
    every(jobs, 3, "two")
    server.client.config_set("maxmemory-policy", "noeviction", "maxmemory", 1)
    beat(jobs)
    wait_for(lambda: "trying again" in jobs.log("beat"), "refused")
    assert entry(jobs, "two")[1] == 0
    server.client.config_set("maxmemory", 0)
    wait_for(lambda: runs(server), "published")


def test_a_killed_beat_loses_no_run_and_repeats_it_under_its_id(jobs: Project, server: Any) -> None:
    every(jobs, 5)
    first = beat(jobs)
    wait_for(lambda: "beat: Starting" in jobs.log("beat"), "beat")
    server.client.config_set("maxmemory-policy", "noeviction", "maxmemory", 1)
    wait_for(lambda: "trying again" in jobs.log("beat"), "refused")
    jobs.kill(first)
    assert entry(jobs)[1] == 0
    server.client.config_set("maxmemory", 0)
    with jobs.outage():
        second = beat(jobs)
        time.sleep(4)
        assert second.poll() is None
    wait_for(lambda: runs(server), "published")
    wait_for(lambda: entry(jobs)[1] == 1, "written down")


def test_a_run_that_was_published_and_not_written_down_has_the_same_id_again(
    jobs: Project, server: Any, manager: Manager
) -> None:
    every(jobs, 8)
    first = beat(jobs, **manager.environment)
    wait_for(lambda: "READY=1\nSTATUS=scheduling" in manager.listen(), "ready")
    with jobs.outage():
        # On a slow machine one may have been due before.
        before = len(runs(server))
        wait_for(lambda: len(runs(server)) > before, "published")
        jobs.kill(first)
    assert entry(jobs)[1] == before
    beat(jobs)
    wait_for(lambda: len(runs(server)) >= before + 2, "published again")
    # The oldest stand last.
    assert len(set(runs(server)[::-1][before : before + 2])) == 1


def test_a_sigterm_while_the_broker_is_waited_for_ends_beat_and_keeps_the_run(jobs: Project, server: Any) -> None:
    every(jobs, 3)
    server.client.config_set("maxmemory-policy", "noeviction", "maxmemory", 1)
    first = beat(jobs)
    wait_for(lambda: "trying again" in jobs.log("beat"), "refused")
    first.send_signal(signal.SIGTERM)
    first.wait(10)
    assert entry(jobs)[1] == 0


def test_an_outage_of_the_database_neither_ends_nor_silences_beat(jobs: Project, server: Any, manager: Manager) -> None:
    every(jobs, 4)
    process = beat(jobs, **manager.environment)
    wait_for(lambda: "READY=1\nSTATUS=scheduling" in manager.listen(), "ready")
    with jobs.outage():
        assert manager.longest_silence(15) < 8
        # The schedule is known, so its runs go on.
        assert len(runs(server)) >= 2
    assert process.poll() is None
    count = len(runs(server))
    wait_for(lambda: entry(jobs)[1] >= count, f"written down, {jobs.log('beat')}")
    seen = runs(server)
    assert len(seen) == len(set(seen))


def test_what_can_never_be_published_holds_up_nothing(jobs: Project, server: Any) -> None:
    # The broker is there and says that this key is no queue.
    server.client.set("wrong", "no list")
    every(jobs, 3, "wrong", queue="wrong")
    every(jobs, 3, "right")
    beat(jobs)
    wait_for(lambda: runs(server), "the other is published")
    wait_for(lambda: entry(jobs, "wrong")[1] >= 1, "counts as run")


def test_without_the_part_a_due_run_is_lost(jobs: Project, server: Any, manager: Manager) -> None:
    jobs.runtime = {"parts": ["watchdog"]}
    every(jobs, 300)
    with jobs.session() as connection:
        connection.execute("UPDATE django_celery_beat_periodictask SET last_run_at = '2020-01-01'")
    server.client.config_set("maxmemory-policy", "noeviction", "maxmemory", 1)
    beat(jobs, **manager.environment)
    wait_for(lambda: "READY=1\nSTATUS=scheduling" in manager.listen(), "ready")
    server.client.config_set("maxmemory", 0)
    time.sleep(8)
    assert runs(server) == []


def test_each_part_adds_its_layer_and_none_leaves_the_stock_one(jobs: Project) -> None:
    code = """if 1:
        from celery_runtime import beat
        stock = beat.named(django_jobs.app.conf.beat_scheduler)
        assert beat.scheduler_class(stock, []) is stock
        for parts in (["beat"], ["watchdog"], ["beat", "watchdog"]):
            print([one.__name__ for one in beat.scheduler_class(stock, parts).__mro__ if "celery_runtime" in one.__module__])
    """
    assert jobs.python(code).splitlines() == [
        "['DatabaseScheduler', 'RetryingInDatabase', 'Retrying', 'Layer']",
        "['DatabaseScheduler', 'Watched', 'Layer']",
        "['DatabaseScheduler', 'RetryingInDatabase', 'Retrying', 'Watched', 'Layer']",
    ]
