"""Tasks run in their queues and are stored, pickled ones are refused, beat sends what is due."""

import shlex

import pytest
import stack

COUNT = (
    "select count(*) from django_celery_results_taskresult where status = 'SUCCESS' and task_name = 'housekeeping.echo'"
)
POOLS = {"high": "high", "default": "main", "low": "main"}


def round_trip(host):
    began = host.check_output("date +%s")
    pids = {unit: stack.main_pid(host, unit) for unit in stack.UNITS}
    seen = stack.shell(host, "round_trip.py")
    seen["began"] = began
    seen["same_processes"] = pids == {unit: stack.main_pid(host, unit) for unit in stack.UNITS}
    return seen


@pytest.mark.parametrize("queue", POOLS)
def test_a_task_runs_in_its_queue_and_its_result_is_stored_in_postgresql(once, queue):
    seen = once(round_trip)
    assert seen["vendor"] == "postgresql"
    done = seen["queues"][queue]
    assert done["status"] == "SUCCESS"
    assert done["result"] == {"text": queue, "numbers": [2, 3], "sum": 5}
    assert done["worker"].split("@")[0] == POOLS[queue]


def test_a_pickled_message_is_refused_and_runs_nothing(host, once):
    seen = once(round_trip)
    assert seen["works_where_read"], "the message is harmless anyway, so this test would show nothing"
    assert not seen["proof"]
    # Whoever waits for its result hears of it.
    assert seen["pickled"] == "FAILURE"
    logged = host.check_output(f"journalctl --output=cat --since=@{seen['began']} --unit=celery-worker@main")
    assert "ContentDisallowed" in logged


def test_the_worker_goes_on_after_a_pickled_message(once):
    seen = once(round_trip)
    assert seen["next"]["status"] == "SUCCESS"
    assert seen["same_processes"]
    assert (seen["left"], seen["unacknowledged"]) == (0, [])


def test_beat_sends_what_is_due(host):
    runs = stack.shell(host, "beat.py")
    assert len(runs) >= 3
    assert {worker.split("@")[0] for worker in runs} == {"main"}


def test_results_can_be_read_by_sql(host, once):
    task = once(round_trip)["queues"]["high"]
    assert task["status"] == "SUCCESS"
    count = host.check_output(f"runuser -u postgres -- psql -d sample -tAc {shlex.quote(COUNT)}")
    assert int(count) >= 3
