"""The plan of the worker pools, over a table of hosts."""

from __future__ import annotations

from typing import Any

import pytest
from celery_plan import celery_plan, effective_cpus, share_out
from hypothesis import given
from hypothesis import strategies as st

QUEUES = ["high", "default", "low", "mail", "reports"]
DEFAULTS = {
    "soft_time_limit": 900,
    "time_limit": 1800,
    "child_memory_mib": 256,
    "max_tasks_per_child": 1000,
    "prefetch_multiplier": 1,
    "child_threads": 32,
    "cpu_weight": 50,
    "processes_per_cpu": 1.0,
    "memory_share": 0.5,
}
TWO = [{"name": "high", "queues": ["high"], "weight": 1}, {"name": "main", "queues": ["default", "low"], "weight": 2}]
ONE = [{"name": "all", "queues": QUEUES}]
FIVE = [{"name": queue, "queues": [queue]} for queue in QUEUES]
PLENTY = 262144


def plan(
    pools: list[dict[str, Any]], cpus: int = 4, quota: float = 0, memory: int = PLENTY, **changes: Any
) -> dict[str, Any]:
    facts = {"cpus": cpus, "cpu_quota": quota, "memory_mib": memory}
    return celery_plan(pools, facts, QUEUES, DEFAULTS | changes)


def counts(*arguments: Any, **options: Any) -> dict[str, int]:
    result = plan(*arguments, **options)
    assert result["errors"] == []
    return {pool["name"]: pool["concurrency"] for pool in result["pools"]}


@pytest.mark.parametrize(
    ("pools", "facts", "expected"),
    [
        pytest.param(TWO, {"cpus": 1}, {"high": 1, "main": 1}, id="1 core: one process a pool all the same"),
        pytest.param(TWO, {"cpus": 2}, {"high": 1, "main": 1}, id="2 cores"),
        pytest.param(TWO, {"cpus": 4}, {"high": 1, "main": 3}, id="4 cores, shared 1 to 2"),
        pytest.param(TWO, {"cpus": 64}, {"high": 21, "main": 43}, id="64 cores"),
        pytest.param(TWO, {"cpus": 64, "quota": 2.5}, {"high": 1, "main": 1}, id="64 cores, a quota of 2.5"),
        pytest.param(TWO, {"cpus": 64, "quota": 6.0}, {"high": 2, "main": 4}, id="64 cores, a quota of 6"),
        pytest.param(TWO, {"cpus": 4, "quota": 0.5}, {"high": 1, "main": 1}, id="less than one CPU"),
        pytest.param(TWO, {"cpus": 16, "memory": 4096}, {"high": 4, "main": 4}, id="16 cores, memory for 8"),
        pytest.param(TWO, {"cpus": 16, "memory": 600}, {"high": 1, "main": 1}, id="little memory: never below 1"),
        pytest.param(ONE, {"cpus": 8}, {"all": 8}, id="one pool gets everything"),
        pytest.param(FIVE, {"cpus": 2}, dict.fromkeys(QUEUES, 1), id="five pools on 2 cores"),
        pytest.param(
            FIVE, {"cpus": 12}, {"high": 3, "default": 3, "low": 2, "mail": 2, "reports": 2}, id="five pools on 12"
        ),
    ],
)
def test_concurrency(pools: list[dict[str, Any]], facts: dict[str, Any], expected: dict[str, int]) -> None:
    assert counts(pools, **facts) == expected


def test_a_fixed_concurrency_is_kept_and_its_memory_is_reckoned_with() -> None:
    pools = [{"name": "io", "queues": ["mail"], "concurrency": 6}, {"name": "cpu", "queues": ["default"]}]
    assert counts(pools, cpus=8) == {"io": 6, "cpu": 8}
    assert counts(pools, cpus=8, memory=4096) == {"io": 6, "cpu": 2}


def test_pools_of_fixed_concurrency_alone_are_kept() -> None:
    assert counts([{"name": "io", "queues": QUEUES, "concurrency": 6}], cpus=2) == {"io": 6}


def test_too_little_memory_is_said() -> None:
    result = plan(TWO, cpus=16, memory=600)
    assert result["bounded_by"] == "memory"
    assert "raise celery_worker_memory_share" in result["warnings"][0]
    assert "512 MiB" in plan(TWO, cpus=4, memory=400)["errors"][0]


def test_limits_of_a_pool_override_the_defaults() -> None:
    pool = {"name": "slow", "queues": ["low"], "soft_time_limit": 3000, "time_limit": 3600, "child_memory_mib": 512}
    planned = plan([pool], cpus=2)["pools"][0]
    assert (planned["soft_time_limit"], planned["time_limit"], planned["child_memory_mib"]) == (3000, 3600, 512)
    assert planned["memory_max_mib"] == 256 + 2 * 2 * 512


def test_what_a_pool_may_take_of_the_host() -> None:
    pool = {"name": "slow", "queues": ["low"], "concurrency": 3, "child_threads": 10, "cpu_weight": 20}
    planned = plan([pool], cpus=2)["pools"][0]
    assert (planned["tasks_max"], planned["cpu_weight"]) == (32 + 3 * 10, 20)
    assert planned["memory_high_mib"] == 256 + 3 * 256 * 3 // 2 < planned["memory_max_mib"]


def test_outgoing_network_and_programs_are_said_by_the_pool() -> None:
    assert plan(ONE)["pools"][0]["egress"] is None
    closed = plan([{**ONE[0], "egress": [], "exec_paths": ["/usr/bin/ffmpeg"]}])["pools"][0]
    assert (closed["egress"], closed["exec_paths"]) == ([], ["/usr/bin/ffmpeg"])


@pytest.mark.parametrize(
    ("queues", "pools"),
    [
        (["high", "default", "low"], TWO),
        (["celery"], [{"name": "main", "queues": ["celery"], "weight": 2}]),
        (["high"], [{"name": "high", "queues": ["high"], "weight": 1}]),
    ],
)
def test_who_names_no_pools_gets_some_for_every_queue(queues: list[str], pools: list[dict[str, Any]]) -> None:
    facts = {"cpus": 4, "cpu_quota": 0, "memory_mib": PLENTY}
    planned = celery_plan([], facts, queues, DEFAULTS)
    assert planned == celery_plan(pools, facts, queues, DEFAULTS)
    assert planned["errors"] == []


@pytest.mark.parametrize(("prefetch", "expected"), [(1, 1800), (4, 7200)])
def test_what_is_fetched_ahead_waits_for_those_before_it(prefetch: int, expected: int) -> None:
    assert plan(ONE, prefetch_multiplier=prefetch)["pools"][0]["longest_run"] == expected


@pytest.mark.parametrize(
    ("pools", "words"),
    [
        ("high", ["celery_worker_pools is no list"]),
        ([{"name": "a", "queues": []}], ["queues is empty", "celery_worker_pools[0]"]),
        ([{"name": "a"}], ["queues is empty"]),
        ([{"name": "a", "queues": ["nope"]}], ["'nope' is not declared", "stack_queues"]),
        ([{"name": "a", "queues": ["low"]}, {"name": "a", "queues": ["high"]}], ["'a' is used twice"]),
        ([{"name": "A b", "queues": ["low"]}], ["name must be"]),
        ([{"name": "a", "queues": ["low"], "weight": 1, "concurrency": 2}], ["both weight and concurrency"]),
        ([{"name": "a", "queues": ["low"], "weight": 0}], ["weight is 0"]),
        ([{"name": "a", "queues": ["low"], "concurrency": 1.5}], ["whole number"]),
        ([{"name": "a", "queues": ["low"], "concurency": 1}], ["unknown key 'concurency'", "concurrency"]),
        (
            [{"name": "a", "queues": ["low"], "pool": "threads"}],
            ["pool is 'threads'", "celery_worker_pools[0]", "prefork"],
        ),
        (
            [{"name": "a", "queues": ["low"], "egress": ["10.0.0.0/8", "api.example.com"]}],
            ["egress has 'api.example.com'", "Use the address, or any", "celery_worker_pools[0]"],
        ),
        ([{"name": "a", "queues": ["low"], "soft_time_limit": 2000}], ["soft_time_limit (2000)", "time_limit (1800)"]),
    ],
)
def test_wrong_pools_are_named_with_their_fix(pools: list[dict[str, Any]], words: list[str]) -> None:
    text = "; ".join(plan(pools)["errors"])
    for word in words:
        assert word in text


@given(st.integers(0, 200), st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_shares_are_never_below_one_and_add_up(total: int, weights: list[float]) -> None:
    shares = share_out(total, weights)
    assert min(shares) >= 1
    assert sum(shares) == max(total, len(weights))


@given(st.integers(1, 256), st.floats(0, 256))
def test_cpus_are_at_least_one_and_within_both_limits(cpus: int, quota: float) -> None:
    effective = effective_cpus(cpus, quota)
    assert 1 <= effective <= cpus
    assert quota == 0 or effective <= max(1, quota)
