"""Schedulers that a project chooses, with all parts of the runtime: one in a file, and one of the project's own."""

from __future__ import annotations

import json
import shelve
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from django_project import Project, project
from service_manager import Listener

PARTS = ("watchdog", "transport", "guard", "limits", "results", "database", "memory", "beat")
SCHEDULERS = ["celery.beat:PersistentScheduler", "own_choices:Counting"]
READY = "READY=1\nSTATUS=scheduling"


@pytest.fixture(params=SCHEDULERS, ids=["file", "own"])
def jobs(request: Any, server: Any, tmp_path: Path) -> Iterator[Project]:
    for one in project(server, tmp_path, *PARTS):
        one.own = {
            "CELERY_BEAT_SCHEDULER": request.param,
            "CELERY_BEAT_SCHEDULE": {"one": {"task": "django_jobs.note", "schedule": 2, "args": ["run"]}},
        }
        (tmp_path / "beat").mkdir()
        one.settings = {"beat_schedule_filename": str(tmp_path / "beat/schedule")}
        yield one


@pytest.fixture
def plain(server: Any, tmp_path: Path) -> Iterator[Project]:
    yield from project(server, tmp_path, *PARTS)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Listener]:
    with Listener(tmp_path / "notify") as one:
        yield one


def beat(jobs: Project, **environment: str) -> Any:
    return jobs.start("beat", "beat", "--loglevel=INFO", "--pidfile=", **environment)


def published(server: Any) -> list[str]:
    """Return the ids of the published runs, the oldest first."""
    return [json.loads(message)["headers"]["id"] for message in reversed(server.client.lrange("low", 0, -1))]


def written(jobs: Project) -> int:
    """Return how many runs are written down."""
    if "Persistent" in jobs.own["CELERY_BEAT_SCHEDULER"]:
        # As it is on the disk, though beat has it open.
        copy = shutil.copytree(jobs.folder / "beat", jobs.folder / "copy", dirs_exist_ok=True)
        with shelve.open(str(copy / "schedule"), "r") as file:  # noqa: S301 (the test's own)
            return int(file["entries"]["one"].total_run_count)
    with jobs.session() as connection:
        there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'own_runs'").fetchone()
        return int(connection.execute("SELECT count(*) FROM own_runs").fetchone()[0]) if there else 0


def refuse(server: Any) -> None:
    """Let the broker be full."""
    server.client.config_set("maxmemory-policy", "noeviction", "maxmemory", 1)


def test_a_run_that_is_due_waits_for_the_broker_and_has_one_id(jobs: Project, server: Any, manager: Listener) -> None:
    refuse(server)
    first = beat(jobs, **manager.environment)
    wait_for(lambda: jobs.log("beat").count("trying again") >= 2, f"it is waited for; {jobs.log('beat')}")
    manager.messages.clear()
    wait_for(lambda: manager.said("WATCHDOG=1"), "a sign of life meanwhile")
    # Neither a stop nor a kill takes it for run.
    first.send_signal(signal.SIGTERM)
    first.wait(30)
    assert written(jobs) == 0
    server.client.config_set("maxmemory", 0)
    second = beat(jobs, **manager.environment)
    wait_for(lambda: manager.said(READY), f"ready; {jobs.log('beat')}")
    wait_for(lambda: published(server) and written(jobs) >= len(published(server)), "published and written down")
    jobs.kill(second)
    # What was written when it was killed: nothing is published once more.
    before, count = published(server), written(jobs)
    assert count == len(before) == len(set(before))


def test_a_run_that_was_published_and_not_written_down_has_the_same_id_again(jobs: Project, server: Any) -> None:
    first = beat(jobs, KILL_BEFORE_WRITING="1")
    first.wait(60)
    assert (len(published(server)), written(jobs)) == (1, 0)
    if "Persistent" not in jobs.own["CELERY_BEAT_SCHEDULER"]:
        return  # It keeps nothing that the id could be made of.
    beat(jobs)
    wait_for(lambda: len(published(server)) >= 2, f"published again; {jobs.log('beat')}")
    one, again, *_ = published(server)
    assert one == again


def test_what_can_never_be_published_counts_as_run_and_holds_up_nothing(jobs: Project, server: Any) -> None:
    wrong = {"task": "django_jobs.note", "schedule": 2, "options": {"queue": "wrong"}}
    jobs.own["CELERY_BEAT_SCHEDULE"] = {"wrong": wrong} | jobs.own["CELERY_BEAT_SCHEDULE"]
    # The broker is there and says that this key is no queue.
    server.client.set("wrong", "no list")
    beat(jobs)
    wait_for(lambda: len(published(server)) >= 2, f"the other is published; {jobs.log('beat')}")
    wait_for(lambda: "Couldn't apply scheduled task wrong" in jobs.log("beat"), "it is told of")


def test_a_schedule_in_a_database_that_is_away_is_waited_for(plain: Project, server: Any) -> None:
    plain.own = {
        "CELERY_BEAT_SCHEDULER": "own_choices:Counting",
        "CELERY_BEAT_SCHEDULE": {"one": {"task": "django_jobs.note", "schedule": 2, "args": ["run"]}},
    }
    with plain.outage():
        process = beat(plain)
        wait_for(lambda: "can't be read or written now" in plain.log("beat"), "it is waited for")
    wait_for(lambda: written(plain) >= 1, f"it goes on; {plain.log('beat')}")
    with plain.outage():
        seen = plain.log("beat").count("can't be read or written now")
        wait_for(lambda: plain.log("beat").count("can't be read or written now") > seen, "it is waited for")
        assert process.poll() is None
    count = len(published(server))
    wait_for(lambda: written(plain) >= count, "written down")
    assert len(set(published(server))) == len(published(server))


def test_what_is_no_scheduler_is_refused(plain: Project) -> None:
    plain.own = {"CELERY_BEAT_SCHEDULER": "own_choices:Own"}
    assert beat(plain).wait(60) != 0
    assert "beat_scheduler is" in plain.log("beat")
