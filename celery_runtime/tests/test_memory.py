from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from django_project import Project, project


@pytest.fixture
def jobs(server: Any, tmp_path: Path) -> Iterator[Project]:
    yield from project(server, tmp_path, "memory")


def private(pid: int) -> int:
    """Return the memory that a process shares with no other (KiB)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))


def child_after_a_collection(jobs: Project) -> int:
    """Return a child's private memory (KiB) after its garbage collector has looked at everything."""
    worker = jobs.consume()
    jobs.delay("collect")
    wait_for(lambda: jobs.effects(), f"collected; {jobs.log()}")
    memory = private(int(jobs.effects()[-1]))
    jobs.stop(worker)
    (jobs.folder / "effects").unlink()
    return memory


def test_a_child_shares_what_the_main_process_has_loaded(jobs: Project) -> None:
    shared = child_after_a_collection(jobs)
    jobs.runtime = {"parts": []}
    stock = child_after_a_collection(jobs)
    assert shared < stock * 0.7, (shared, stock)


def test_a_child_that_replaces_another_shares_too(jobs: Project) -> None:
    worker = jobs.consume("--max-tasks-per-child=1")
    for number in range(1, 4):
        jobs.delay("collect")
        wait_for(lambda count=number: len(jobs.effects()) >= count, "collected")
    assert len(set(jobs.effects())) == 3
    jobs.delay("collect", 2)
    wait_for(lambda: len(jobs.effects()) == 4, "collected")
    last = private(int(jobs.effects()[-1]))
    jobs.stop(worker)
    jobs.runtime = {"parts": []}
    (jobs.folder / "effects").unlink()
    assert last < child_after_a_collection(jobs) * 0.7
