"""What became of the jobs of a fault: each way to lose, repeat or fail one is counted as what it is."""

import random
from itertools import islice

import pytest

from testbench.faults.account import LONG, Moment, Seen, account, mix, over, progress


def delivery(job, at, node="main", retries=0, task_id=None):
    return {
        "job": job,
        "task_id": task_id or job,
        "node": f"{node}@host",
        "process": 1,
        "retries": retries,
        "at": at,
    }


def effect(job, at, node="main"):
    return {"job": job, "node": f"{node}@host", "at": at}


def result(task_id, status="SUCCESS", at=101.0):
    return {"task_id": task_id, "status": status, "at": at, "result": None}


def seen(*jobs, dead=(), **more):
    """A run in which these jobs went as they should."""
    return Seen(
        deliveries=[delivery(job, 100) for job in jobs] + more.get("deliveries", []),
        effects=[effect(job, 100.5) for job in jobs] + more.get("effects", []),
        results=[result(job) for job in jobs] + more.get("results", []),
        dead=frozenset(dead),
    )


NOW = [Moment(100, ("main",))]


def test_all_is_well():
    sums = account({"a": 90, "b": 91}, seen("a", "b"), NOW)
    assert (sums.accepted, sums.done) == (2, 2)
    assert (sums.lost, sums.twice, sums.effect_twice, sums.failed, sums.without_result) == ([], [], [], [], [])
    assert (sums.first_progress, sums.all_done) == (0.5, 1.0)


def test_a_job_of_which_nothing_is_known_is_lost():
    sums = account({"a": 90, "b": 90}, seen("a"), NOW)
    assert sums.lost == ["b"]
    assert sums.all_done is None


def test_a_job_that_was_begun_and_not_done_is_lost():
    assert account({"a": 90}, seen(deliveries=[delivery("a", 100)], results=[result("a", "STARTED")]), NOW).lost == [
        "a"
    ]


def test_a_stored_success_without_its_effect_is_lost():
    assert account({"a": 90}, seen(results=[result("a")]), NOW).lost == ["a"]


@pytest.mark.parametrize("found", [seen(results=[result("a", "FAILURE")]), seen(dead=["a"])])
def test_a_failure_with_a_reason_is_not_lost(found):
    sums = account({"a": 90}, found, NOW)
    assert (sums.lost, sums.failed) == ([], ["a"])


def test_a_job_done_after_a_failure_is_done():
    sums = account({"a": 90}, seen("a", dead=["a"]), NOW)
    assert (sums.done, sums.failed) == (1, [])


def test_a_done_job_without_a_stored_result_is_named():
    found = seen(deliveries=[delivery("a", 100)], effects=[effect("a", 101)], results=[result("a", "STARTED")])
    sums = account({"a": 90}, found, NOW)
    assert (sums.done, sums.without_result, sums.all_done) == (1, ["a"], None)


def test_a_result_is_found_by_the_id_that_beat_made_up():
    found = seen(deliveries=[delivery("a", 100, task_id="x")], effects=[effect("a", 101)], results=[result("x")])
    assert over({"a": 90}, found) == ({"a"}, set(), set())


def test_a_second_delivery_is_counted_and_a_retry_is_not():
    found = seen("a", "b", deliveries=[delivery("a", 102), delivery("b", 102, retries=1)])
    assert account({"a": 90, "b": 90}, found, NOW).twice == ["a"]


def test_a_second_effect_is_counted_also_of_a_job_that_nobody_knows_to_be_accepted():
    found = seen("a", "b", effects=[effect("a", 103), effect("b", 103)])
    assert account({"a": 90}, found, NOW).effect_twice == ["a", "b"]


def test_a_job_that_was_not_accepted_is_in_no_sum():
    sums = account({"a": 90}, seen("a", "b"), NOW)
    assert (sums.accepted, sums.done) == (1, 1)


def test_work_begun_before_the_end_of_the_fault_is_no_progress():
    found = seen(deliveries=[delivery("a", 99)], effects=[effect("a", 101)])
    assert progress(found, NOW[0]) is None


def test_a_second_delivery_of_what_was_done_before_is_no_progress():
    found = seen("a", deliveries=[delivery("a", 203)])
    assert progress(found, Moment(200, ("main",))) is None


def test_the_slowest_worker_counts():
    found = seen(
        deliveries=[delivery("a", 101), delivery("b", 102, "high")],
        effects=[effect("a", 102), effect("b", 107, "high")],
    )
    assert progress(found, Moment(100, ("main", "high"))) == 7
    assert progress(found, Moment(100, ("main",))) == 2
    assert progress(found, Moment(100, ("main", "spare"))) is None


def test_only_jobs_of_a_kind_can_be_asked_for():
    found = seen("run-delay-1", deliveries=[delivery("run-beat-1", 104)], effects=[effect("run-beat-1", 105)])
    assert progress(found, Moment(100, ("main",), only="-beat-")) == 5


def test_of_several_moments_the_worst_counts():
    found = seen(deliveries=[delivery("a", 101), delivery("b", 203)], effects=[effect("a", 102), effect("b", 209)])
    moments = [Moment(100, ("main",)), Moment(200, ("main",))]
    assert account({"a": 90, "b": 90}, found, moments).first_progress == 9
    assert account({"a": 90}, found, [*moments, Moment(300, ("main",))]).first_progress is None


def made(seed):
    return list(islice(mix(random.Random(seed), "run", "http"), 300))  # noqa: S311


def test_the_same_seed_makes_the_same_jobs():
    assert made(1) == made(1) != made(2)


def test_the_mix_has_every_kind_and_queue():
    jobs = made(1)
    assert {job.queue for job in jobs} == {"high", "default", "low"}
    assert any(job.countdown for job in jobs)
    assert any(LONG[0] <= job.seconds <= LONG[1] for job in jobs)
    assert len({job.id for job in jobs}) == 300
