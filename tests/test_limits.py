"""Sizes of memory, and shares of the connections."""

from __future__ import annotations

from typing import Any

import limits
import pytest

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
