from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from django_project import Project, project


@pytest.fixture(params=["CELERY", "JOBS"])
def jobs(server: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    yield from project(server, tmp_path, "database", namespace=request.param)


def connections(jobs: Project, count: int, prepare: str = "pass") -> list[str]:
    """Run some tasks in one child and return the child and the connection that each has used."""
    jobs.consume()
    for number in range(count):
        jobs.delay("connection", prepare)
        wait_for(lambda done=number: len(jobs.effects()) > done, f"task {number}; {jobs.log()}")
    return jobs.effects()


def test_a_connection_lives_across_tasks(jobs: Project) -> None:
    assert len(set(connections(jobs, 4))) == 1


def test_stock_celery_makes_one_for_each_task(jobs: Project) -> None:
    jobs.runtime = {"parts": []}
    assert len(set(connections(jobs, 4))) == 4


def test_a_connection_that_fails_its_health_check_is_replaced_before_the_next_task(jobs: Project) -> None:
    # SQLite's own check finds every connection well.
    seen = connections(jobs, 3, "database.is_usable = lambda: False")
    assert len(set(seen)) == 3


def test_a_connection_that_is_too_old_is_replaced(jobs: Project) -> None:
    assert len(set(connections(jobs, 3, "database.close_at = 0"))) == 3


def test_a_task_that_runs_inside_its_caller_leaves_the_connection_alone(jobs: Project) -> None:
    jobs.extra = {"EAGER": "1"}
    code = """
        from django.db import connection
        connection.ensure_connection(); connection.close_at = 0; before = connection.connection
        from celery import signals
        from celery_runtime import database
        database._keep(sender=type("Worker", (), {"app": django_jobs.app}))
        django_jobs.connection.apply(("pass",))
        print(connection.connection is before)
    """
    assert jobs.python("\n".join(line.strip() for line in code.splitlines())) == "True"
