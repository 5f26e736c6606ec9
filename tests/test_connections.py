"""The rule that database and broker take as many connections as a deployment's processes and threads hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Role

HOSTS = {
    "web1": {"preflight_host": {"deployment": "shop", "web": 18, "worker": 0}},
    "worker1": {"preflight_host": {"deployment": "shop", "web": 0, "worker": 66}},
    "other": {"preflight_host": {"deployment": "elsewhere", "web": 500, "worker": 500}},
}


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        # Nothing is known of a server that these roles don't install.
        ({}, []),
        (
            {
                "preflight_database_limits": {"web": 18, "worker": 66, "beat": 2, "cleaner": 1},
                "preflight_database_connections": 87,
                "preflight_broker_connections": 358,
            },
            [],
        ),
        ({"preflight_database_limits": {"worker": 65}}, ["worker need 66", "has 65", "stack_database_shares"]),
        ({"preflight_database_connections": 86}, ["need 87 connections to the database", "postgresql_max_connections"]),
        ({"preflight_broker_connections": 357}, ["up to 358 connections to the broker", "redis_maxclients"]),
    ],
)
def test_too_few_connections_are_named(role: Callable[..., Role], planned: dict[str, Any], words: list[str]) -> None:
    faults = role(
        "preflight", preflight_deployment="shop", ansible_play_hosts_all=list(HOSTS), hostvars=HOSTS, **planned
    ).evaluate("__preflight_crowded")
    assert len(faults) == bool(words), faults
    assert [word for word in words if word not in faults[0]] == []
