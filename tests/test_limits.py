"""Sizes of memory, and shares of the connections."""

from __future__ import annotations

from typing import Any

import limits
import pytest
from ansible.errors import AnsibleFilterError

MIB = 1048576


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("", 512 * MIB),
        ("  ", 512 * MIB),
        ("64mb", 64 * MIB),
        (" 1GB ", 1024 * MIB),
        ("2048kb", 2 * MIB),
        ("25%", 512 * MIB),
        ("33%", int(2048 * MIB * 33 / 100)),
    ],
)
def test_a_size_in_bytes(size: Any, wanted: int) -> None:
    assert limits.memory_bytes(size, 2048, 0.25) == wanted


@pytest.mark.parametrize(
    "size", ["512m", 512, "1tb", "0mb", "-5mb", "12.5mb", "mb", "100%", "0%", "50 %", "1gb1", "1gb\n2gb"]
)
def test_what_is_no_size(size: Any) -> None:
    assert limits.memory_bytes(size, 2048, 0.25) is None


@pytest.mark.parametrize(
    ("facts", "mib"),
    [
        ({"memtotal_mb": 2048}, 2048),
        ({"memtotal_mb": 2048, "cgroup_memory_mib": 0}, 2048),
        ({"memtotal_mb": 2048, "cgroup_memory_mib": None}, 2048),
        ({"memtotal_mb": "2048", "cgroup_memory_mib": "512"}, 512),
        ({"memtotal_mb": 2048, "cgroup_memory_mib": 4096}, 2048),
    ],
)
def test_a_host_has_the_machine_s_memory_or_what_its_control_group_leaves(facts: dict[str, Any], mib: int) -> None:
    assert limits.host_memory_mib(facts) == mib


@pytest.mark.parametrize(
    ("timeout", "fine"),
    [(5460, False), (5461, True), ("5461", True), (0, False)],
    ids=["equal", "above", "text", "none"],
)
def test_a_message_is_handed_out_again_only_after_its_delay_and_its_run(timeout: Any, fine: bool) -> None:
    fault = limits.visibility_fault(timeout, 3600, "1800", "stack_time_limit")
    assert (fault == "") is fine
    assert fine or fault.startswith(
        f"stack_visibility_timeout ({timeout} s) must be above 5460 s (stack_longest_delay 3600 + stack_time_limit 1800 + 60), or Redis"
    )


def test_memory_that_nobody_has_measured_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="memtotal_mb"):
        limits.host_memory_mib({})


def test_limits_of_services_are_found_by_the_names_of_their_roles() -> None:
    planned = {"shop_web": 45, "shop_beat": 1, "other_web": 9}
    assert limits.service_limits(planned, ["web", "beat"], "shop") == {"web": 45, "beat": 1}
    # Of a database that isn't these roles' nothing is known.
    assert limits.service_limits({}, ["web"], "shop") == {}
    with pytest.raises(KeyError):
        limits.service_limits(planned, ["web", "worker"], "shop")


def test_a_share_gives_at_least_one_connection() -> None:
    roles = [
        {"name": "a", "password": "x", "share": 0.5},
        {"name": "b", "password": "y", "share": 0.001, "tables": ["t"]},
    ]
    assert limits.database_role_limits(roles, 101) == [
        {"name": "a", "password": "x", "tables": ["*"], "connections": 50},
        {"name": "b", "password": "y", "tables": ["t"], "connections": 1},
    ]


@pytest.mark.parametrize(("limit", "faults"), [(86, 1), (87, 0), (0, 0)])
def test_as_many_connections_as_are_held_are_enough(limit: int, faults: int) -> None:
    hosts = [{"web": 18, "worker": 0}, {"web": 0, "worker": 66}]
    assert len(limits.connection_faults(hosts, {}, limit, 0)) == faults
    # Four for each of the 87, and Flower's ten.
    assert [bool(limits.connection_faults(hosts, {}, 0, number)) for number in (357, 358, 0)] == [True, False, False]
