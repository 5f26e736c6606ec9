"""The database's configuration as it would be written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Role

HBA = "etc/postgresql/pg_hba.conf.j2"


def entries(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(("release", "version"), [("12", "15"), ("13", "17"), ("24", "")])
def test_the_version_is_the_releases_own(role: Callable[..., Role], release: str, version: str) -> None:
    assert role("postgresql", {"distribution_major_version": release}).evaluate("postgresql_version") == version


def test_a_role_of_a_service_may_log_in_where_the_owner_may(role: Callable[..., Role]) -> None:
    hba = role(
        "postgresql",
        postgresql_database="shop",
        postgresql_user="shop",
        postgresql_service_roles=[{"name": "shop_web", "password": "p" * 16, "share": 0.5}],
        postgresql_client_networks=["10.0.0.0/24"],
    )
    assert [entry[:3] for entry in entries(hba.render(HBA))] == [
        ["local", "all", "postgres"],
        ["local", "shop", "shop,shop_web"],
        ["host", "shop", "shop,shop_web"],
    ]


def test_a_share_is_of_what_the_administrator_leaves(role: Callable[..., Role]) -> None:
    roles = role(
        "postgresql",
        postgresql_password="o" * 16,
        postgresql_max_connections=105,
        postgresql_administrator_connections=5,
        postgresql_service_roles=[
            {"name": "app_web", "password": "p" * 16, "share": 0.45},
            {"name": "app_beat", "password": "p" * 16, "share": 0.001, "tables": ["schedule_*"]},
        ],
    ).evaluate("__postgresql_roles")
    assert [(one["name"], one.get("connections"), one.get("tables")) for one in roles] == [
        ("app", None, None),
        ("app_web", 45, ["*"]),
        ("app_beat", 1, ["schedule_*"]),
    ]


def test_who_may_log_in(role: Callable[..., Role]) -> None:
    hba = role(
        "postgresql",
        postgresql_database="shop",
        postgresql_user="clerk",
        postgresql_client_networks=["10.0.0.0/24", "::1/128"],
    )
    assert entries(hba.render(HBA)) == [
        ["local", "all", "postgres", "peer"],
        ["local", "shop", "clerk", "scram-sha-256"],
        ["host", "shop", "clerk", "10.0.0.0/24", "scram-sha-256"],
        ["host", "shop", "clerk", "::1/128", "scram-sha-256"],
    ]


@pytest.mark.parametrize(("memory", "limit", "expected"), [(2048, 0, "204MB"), (2048, 1024, "102MB"), (64, 0, "16MB")])
def test_the_cache_follows_the_memory(role: Callable[..., Role], memory: int, limit: int, expected: str) -> None:
    text = role("postgresql", {"memtotal_mb": memory, "cgroup_memory_mib": limit}).render(
        "etc/postgresql/start.conf.j2"
    )
    assert f"shared_buffers = {expected}" in text.splitlines()


def test_the_sandbox_and_the_compiler_exclude_each_other(role: Callable[..., Role]) -> None:
    postgresql = role("postgresql")
    assert (
        "MemoryDenyWriteExecute=yes"
        in postgresql.render("etc/systemd/system/postgresql@.service.d.conf.j2").splitlines()
    )
    assert "jit = off" in postgresql.render("etc/postgresql/reload.conf.j2").splitlines()


@pytest.mark.parametrize("sandbox", [True, False])
def test_without_the_sandbox_there_is_no_drop_in(role: Callable[..., Role], sandbox: bool) -> None:
    files = role("postgresql", postgresql_sandbox=sandbox).evaluate("__postgresql_sandbox_files")
    assert [file["dest"] for file in files] == (
        ["/etc/systemd/system/postgresql@15-main.service.d/50-plainhost.conf"] if sandbox else []
    )


def test_the_password_is_nowhere(role: Callable[..., Role]) -> None:
    postgresql = role("postgresql", postgresql_password="correct-horse-battery")
    for template in ("start.conf.j2", "reload.conf.j2", "pg_hba.conf.j2"):
        assert "correct-horse" not in postgresql.render(f"etc/postgresql/{template}")
