from __future__ import annotations

from typing import Any

import pytest
from celery_runtime.versions import holds
from conftest import wait_for

GENERAL = {"task_time_limit": 20, "task_soft_time_limit": 10}


@pytest.fixture(params=[True, False], ids=["with", "without"])
def with_part(request: Any, celery: Any) -> bool:
    celery.settings = GENERAL
    if not request.param and holds("celery<5.7"):
        pytest.skip("there the pool's limits hold, though also for the other limit of a task that has one of its own")
    if request.param:
        celery.runtime["parts"] = [*celery.runtime["parts"], "limits"]
    return bool(request.param)


def test_the_pool_s_limits_hold_for_tasks_without_limits_of_their_own(celery: Any, with_part: bool) -> None:
    celery.worker(options="--time-limit=2 --soft-time-limit=1")
    celery.send("note", "long", 4)
    celery.send("note_with_limit", "own", 4)
    wait_for(lambda: "own" in celery.effects(), "the task with a limit of its own")
    wait_for(
        lambda: ("SoftTimeLimitExceeded" in celery.log()) if with_part else ("long" in celery.effects()), "the other"
    )
    assert ("long" in celery.effects()) is not with_part


def test_a_hard_limit_of_a_call_holds_though_the_soft_one_of_the_settings_is_longer(celery: Any) -> None:
    celery.settings = {"task_time_limit": 1800, "task_soft_time_limit": 900}
    celery.runtime["parts"] = [*celery.runtime["parts"], "limits"]
    celery.worker()
    task = celery.send("note", "long", 600, time_limit=2)
    wait_for(lambda: f"Hard time limit (2s) exceeded for jobs.note[{task}]" in celery.log(), "its end")
