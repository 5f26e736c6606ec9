"""The broker's configuration as it would be written, and as a real redis-server reads it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Role

CONF = "etc/redis/redis.conf.j2"
DROPIN = "etc/systemd/system/redis-server.service.d/50-plainhost.conf.j2"
MIB = 1048576


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.parametrize(
    ("variables", "facts", "expected"),
    [
        pytest.param({}, {}, 512 * MIB, id="a quarter of 2048 MiB"),
        pytest.param({}, {"cgroup_memory_mib": 1024}, 256 * MIB, id="a control group's limit is less"),
        pytest.param({}, {"cgroup_memory_mib": 8192}, 512 * MIB, id="a control group's limit is more"),
        pytest.param({"redis_maxmemory_share": 0.5}, {}, 1024 * MIB, id="another share"),
        pytest.param({"redis_maxmemory": "100mb"}, {}, 100 * MIB, id="a size"),
        pytest.param({"redis_maxmemory": "1GB"}, {}, 1024 * MIB, id="capitals"),
        pytest.param({"redis_maxmemory": "65536kb"}, {}, 64 * MIB, id="kb"),
        pytest.param({"redis_maxmemory": "50%"}, {}, 1024 * MIB, id="a percentage"),
    ],
)
def test_maxmemory(role: Callable[..., Role], variables: dict[str, Any], facts: dict[str, Any], expected: int) -> None:
    assert settings(role("redis", facts, **variables).render(CONF))["maxmemory"] == str(expected)


@pytest.mark.parametrize(
    "text", ["512m", "512", "1tb", "0mb", "-5mb", "12.5mb", "mb", "five", "0%", "150%", "50 %", "1gb1"]
)
def test_a_size_with_a_typo_is_refused(role: Callable[..., Role], text: str) -> None:
    redis = role("redis", redis_maxmemory=text)
    assert redis.evaluate("__redis_maxmemory_bytes is none") is True


def test_what_a_broker_must_have(role: Callable[..., Role]) -> None:
    written = settings(role("redis").render(CONF))
    assert written["maxmemory-policy"] == "noeviction"
    assert written["appendonly"] == "yes"
    assert written["appendfsync"] == "everysec"
    assert written["protected-mode"] == "yes"
    assert (written["port"], written["unixsocket"]) == ("0", "/run/redis/redis-server.sock")


def test_a_cache_may_evict_and_has_no_log(role: Callable[..., Role], tmp_path: Path) -> None:
    cache = role("redis", redis_purpose="cache", redis_maxmemory_policy="allkeys-lru")
    written = settings(cache.render(CONF))
    assert (written["maxmemory-policy"], written["appendonly"]) == ("allkeys-lru", "no")
    assert validate(cache, tmp_path) == (0, "")


def test_addresses_open_a_port(role: Callable[..., Role]) -> None:
    written = settings(role("redis", redis_bind=["192.0.2.1"], redis_client_networks=["192.0.2.0/24"]).render(CONF))
    assert (written["bind"], written["port"]) == ("192.0.2.1", "6379")


def test_the_password_is_not_in_it(role: Callable[..., Role]) -> None:
    redis = role("redis", redis_password="correct-horse-battery")
    assert "correct-horse" not in redis.render(CONF) + redis.render(DROPIN)


@pytest.mark.parametrize(
    "variables", [{}, {"redis_save": []}, {"redis_bind": ["192.0.2.1"]}, {"redis_appendfsync": "no"}]
)
def test_redis_itself_reads_it(role: Callable[..., Role], tmp_path: Path, variables: dict[str, Any]) -> None:
    assert validate(role("redis", **variables), tmp_path) == (0, "")


def test_redis_itself_refuses_a_misspelt_setting(role: Callable[..., Role], tmp_path: Path) -> None:
    code, output = validate(role("redis", redis_appendfsync="sometimes"), tmp_path)
    assert code != 0
    assert "sometimes" in output


@pytest.mark.parametrize(("version", "code"), [("6.2.14", 1), ("7.0.15", 0), ("8.0.2", 0), ("10.1.0", 0)])
def test_a_redis_that_is_too_old_is_refused_with_its_version(
    role: Callable[..., Role], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, code: int
) -> None:
    # What the program prints, of a version that isn't here; everything else of the check is answered as a good server would.
    program = tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && echo 'Redis server v={version} sha=00000000:0 malloc=jemalloc bits=64' || echo end-of-configuration\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    status, output = validate(role("redis"), tmp_path)
    assert status == code, output
    assert code == 0 or ("Redis 7.0 or later" in output and version in output)


def validate(redis: Role, staging: Path) -> tuple[int, str]:
    """Run the part of the role's own validation that asks redis-server."""
    assert shutil.which("redis-server"), "install redis-server or redis-tools, or run `make setup`"
    path = staging / redis.evaluate("__redis_conf_path").removeprefix("/")
    path.parent.mkdir(parents=True)
    path.write_text(redis.render(CONF))
    command, found, _ = redis.evaluate("__redis_validate").partition("SYSTEMD_UNIT_PATH")
    assert found
    result = subprocess.run(
        ["sh", "-c", command.replace("{staging}", str(staging))], capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("bind", "waits"), [(["127.0.0.1", "-::1"], False), (["127.0.0.1", "10.0.0.5"], True), (["192.0.2.1"], True)]
)
def test_the_unit_waits_for_the_network_only_if_it_listens_there(
    role: Callable[..., Role], bind: list[str], waits: bool
) -> None:
    assert ("network-online.target" in role("redis", redis_bind=bind).render(DROPIN)) is waits


def test_the_unit_has_a_file_for_each_connection_and_admits_its_clients_only(role: Callable[..., Role]) -> None:
    redis = role("redis", redis_maxclients="5000", redis_bind=["10.0.0.1"], redis_client_networks=["10.0.0.0/24"])
    text = redis.render(DROPIN).splitlines()
    assert "LimitNOFILE=5064" in text
    assert [line for line in text if line.startswith("IPAddress")][-3:] == [
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "IPAddressAllow=10.0.0.0/24",
    ]
    assert "PrivateNetwork=yes" not in text


def test_a_server_behind_a_socket_has_no_network(role: Callable[..., Role]) -> None:
    text = role("redis", redis_unix_socket_group="shop").render(DROPIN).splitlines()
    assert {"PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"} <= set(text)
    assert "ExecStartPost=+/bin/chgrp shop /run/redis /run/redis/redis-server.sock" in text


FURTHER = {"redis_instance": "cache", "redis_purpose": "cache", "redis_save": []}


def unit(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_further_server_shares_nothing_with_the_distribution_s(role: Callable[..., Role], tmp_path: Path) -> None:
    first, further = role("redis"), role("redis", **FURTHER)
    for name in ("conf_path", "access_path", "certificate_path", "key_path", "unit", "unit_path", "user", "data"):
        assert first.evaluate(f"__redis_{name}") != further.evaluate(f"__redis_{name}"), name
    for name in ("guard_path", "guard_unit", "guard_unit_path"):
        assert first.evaluate(f"__redis_{name}") != further.evaluate(f"__redis_{name}"), name
    written = settings(further.render(CONF))
    assert (written["unixsocket"], written["dir"]) == ("/run/redis-cache/redis-server.sock", "/var/lib/redis-cache")
    assert (written["save"], written["appendonly"]) == ('""', "no")
    assert validate(further, tmp_path) == (0, "")


def test_a_further_server_has_a_whole_unit_and_an_account_of_its_own(role: Callable[..., Role]) -> None:
    lines = unit(role("redis", **FURTHER).render(DROPIN))
    assert {
        "Type=notify",
        "ExecStart=/usr/bin/redis-server /etc/redis-cache/redis.conf --supervised systemd --daemonize no",
        "User=redis-cache",
        "Group=redis-cache",
        "RuntimeDirectory=redis-cache",
        "StateDirectory=redis-cache",
        "ReadWritePaths=/var/lib/redis-cache /run/redis-cache",
        "WantedBy=multi-user.target",
    } <= set(lines)
    # There is nothing of the distribution's to take back.
    assert "ReadWritePaths=" not in lines


def test_the_distribution_s_server_keeps_the_unit_that_comes_with_it(role: Callable[..., Role]) -> None:
    lines = unit(role("redis").render(DROPIN))
    assert [line for line in lines if line.startswith(("ExecStart=", "User=", "[Install]", "Type="))] == []
    assert role("redis").evaluate("__redis_unit_path") == (
        "/etc/systemd/system/redis-server.service.d/50-plainhost.conf"
    )
