"""Roles that work alone do so: the examples of their README files, with an inventory that knows nothing of the stack.

They come after the other tests here (conftest.py), and save a scenario: these leave the host as it was made.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbench import inventory, playbooks

HERE = Path(__file__).resolve().parent
EXAMPLES = "examples/roles/site.yml"
NAME = "www.example.com"
PASSWORDS = {f"vault_{name}_password": secrets.token_hex(16) for name in ("cache", "database")}


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the stranger's inventory, in a folder of its own: beside the scenario's lie the variables of the stack."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copy(HERE / "stranger/hosts.yml", folder)
    shutil.copy(inventory.generated_path(HERE.parent / "inventory"), folder)
    (folder / "group_vars").mkdir()
    (folder / "group_vars/all.yml").write_text(yaml.safe_dump(PASSWORDS))
    yield folder
    # The authority's key among others.
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runs(stranger: Path) -> dict[str, playbooks.Run]:
    """Return three runs: in check mode on the fresh host, the first one, and the second one."""
    return {
        "check": playbooks.run([EXAMPLES, "--check"], [stranger]),
        "first": playbooks.run([EXAMPLES], [stranger]),
        "second": playbooks.run([EXAMPLES], [stranger]),
    }


@pytest.fixture
def converged(runs: dict[str, playbooks.Run], host: Any) -> Any:
    """Return the host, on which the examples ran."""
    assert runs["first"].status == 0, runs["first"].output
    return host


@pytest.mark.parametrize("name", ["check", "first", "second"])
def test_a_run_ends_well(runs: dict[str, playbooks.Run], name: str) -> None:
    print(f"\n{name}: {runs[name].seconds:.0f} s")
    assert runs[name].status == 0, runs[name].output


def test_the_second_run_changes_nothing(runs: dict[str, playbooks.Run]) -> None:
    assert "changed=0 " in runs["second"].words, runs["second"].output


def test_no_run_shows_a_password(runs: dict[str, playbooks.Run]) -> None:
    assert [name for name, run in runs.items() for value in PASSWORDS.values() if value in run.output] == []


def redis(host: Any, words: str, password: str = "") -> str:
    return host.check_output(f"REDISCLI_AUTH={shlex.quote(password)} redis-cli -h 127.0.0.1 {words}")


def test_the_cache_asks_for_its_password(converged: Any) -> None:
    assert "NOAUTH" in redis(converged, "ping")
    assert redis(converged, "ping", PASSWORDS["vault_cache_password"]) == "PONG"


def test_a_full_cache_drops_the_oldest(converged: Any) -> None:
    # Some 100 MB into 64.
    fill = """seq 100000 | awk '{printf "SET key:%d %01000d\\r\\n", $1, 0}' | """
    password = PASSWORDS["vault_cache_password"]
    said = converged.check_output(f"{fill} REDISCLI_AUTH={password} redis-cli -h 127.0.0.1 --pipe")
    assert "errors: 0, replies: 100000" in said
    stats = dict(line.split(":", 1) for line in redis(converged, "info stats", password).split() if ":" in line)
    assert int(stats["evicted_keys"]) > 10000
    assert redis(converged, "config get appendonly", password).split() == ["appendonly", "no"]
    redis(converged, "flushall", password)


def psql(host: Any, password: str) -> Any:
    return host.run(f"PGPASSWORD={shlex.quote(password)} psql -h /run/postgresql -U shop -Atc 'select 1' shop")


def test_the_database_answers_its_role(converged: Any) -> None:
    assert psql(converged, PASSWORDS["vault_database_password"]).stdout.strip() == "1"
    assert "password authentication failed" in psql(converged, "another").stderr


def test_the_service_is_met_by_its_name_over_tls(converged: Any) -> None:
    curl = f"curl --silent --show-error --resolve {NAME}:443:127.0.0.1 https://{NAME}/"
    assert converged.check_output(f"{curl} --cacert /etc/tls/ca.pem") == f"hello from {NAME}"
    # No other authority is trusted with it.
    assert converged.run(curl).rc == 60


def test_the_key_of_the_certificate_is_roots_alone(converged: Any) -> None:
    key = converged.file("/etc/tls/front.key")
    assert (key.user, oct(key.mode)) == ("root", "0o600")


def test_the_service_runs_in_the_sandbox(converged: Any) -> None:
    pid = converged.check_output("systemctl show --property MainPID --value hello.service")
    status = dict(
        line.split(":\t", 1) for line in converged.check_output(f"cat /proc/{pid}/status").splitlines() if ":\t" in line
    )
    assert (status["NoNewPrivs"], int(status["CapEff"], 16), status["Seccomp"]) == ("1", 0, "2")
    assert converged.check_output(f"stat --format %U /proc/{pid}") == "hello"
    network = "readlink /proc/{}/ns/net"
    assert converged.check_output(network.format(pid)) != converged.check_output(network.format(1))
    # As it sees the file system: it runs Python alone, and writes nowhere.
    inside = f"nsenter --target {pid} --mount"
    assert "Permission denied" in converged.run(f"{inside} touch /etc/written").stderr
    write = "open('/etc/written', 'w')"
    assert "Read-only file system" in converged.run(f"{inside} python3 -c {shlex.quote(write)}").stderr


def test_nobody_logs_in_to_the_account(converged: Any) -> None:
    assert converged.user("hello").shell == "/usr/sbin/nologin"
    assert converged.user("hello").group == "hello"


def test_packages_are_there(converged: Any) -> None:
    assert converged.check_output("echo '{\"one\": 1}' | jq .one") == "1"
