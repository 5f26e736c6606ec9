"""Which parts of the stack a host has, and what its front serves."""

from __future__ import annotations

from typing import Any

import parts
import pytest

EVERYTHING = {name: ["one"] for name in ("workers", "flower", "web", "app", "redis", "database")}
OWN: dict[str, Any] = {"own_front": True, "own_broker": True, "own_database": True, "cache_hosts": ["one"]}


@pytest.mark.parametrize(
    ("groups", "own", "absent"),
    [
        (EVERYTHING, {}, []),
        ({}, {}, ["workers", "flower", "web", "front", "app", "redis", "database"]),
        (EVERYTHING, {"cache_hosts": []}, ["cache"]),
        (EVERYTHING, {"cache_hosts": ["two"]}, ["cache"]),
        (EVERYTHING | {"web": []}, {}, ["web"]),
        (EVERYTHING | {"flower": ["two"]}, {}, ["flower"]),
        (EVERYTHING | {"web": [], "flower": []}, {}, ["flower", "web", "front"]),
        (EVERYTHING | {"web": [], "flower": []}, {"own_front": False}, ["flower", "web"]),
        (EVERYTHING, {"own_broker": False}, ["redis"]),
        (EVERYTHING, {"own_database": False}, ["database"]),
    ],
)
def test_what_a_host_has_no_part_in(groups: dict[str, list[str]], own: dict[str, bool], absent: list[str]) -> None:
    assert parts.absent_parts(groups, "one", **(OWN | own)) == absent


BOTH = {"site": True, "flower": True}
SITE = {"site": True, "flower": False}
FLOWER = {"site": False, "flower": True}


@pytest.mark.parametrize(
    ("serves", "flower_hosts", "servers"),
    [
        ((True, True), [], [{"hosts": ["a", ".b"], **BOTH}]),
        ((True, True), ["F", "a", "f"], [{"hosts": ["a", ".b"], **BOTH}, {"hosts": ["f"], **FLOWER}]),
        ((True, False), ["f"], [{"hosts": ["a", ".b"], **SITE}]),
        ((False, True), ["F", "a"], [{"hosts": ["a", ".b", "f"], **FLOWER}]),
        ((False, False), ["f"], []),
    ],
)
def test_names_of_the_site_lead_to_both_and_flowers_own_to_flower_alone(
    serves: tuple[bool, bool], flower_hosts: list[str], servers: list[dict[str, Any]]
) -> None:
    assert parts.front_servers(["A", ".B", "a"], flower_hosts, *serves) == servers


def test_a_flower_without_any_name_is_a_server_that_preflight_can_refuse() -> None:
    assert parts.front_servers([], [], False, True) == [{"hosts": [], **FLOWER}]
