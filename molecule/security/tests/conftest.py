"""Fixtures of the scenario: its two hosts, and what they answer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra

from testbench import playbooks

HERE = Path(__file__).resolve().parent
ANSWER = "answer:"
Script = Callable[..., Any]


@pytest.fixture(scope="session")
def inventory(request: pytest.FixtureRequest) -> Path:
    """Return the inventory that the hosts are in."""
    return Path(request.config.getoption("ansible_inventory") or HERE.parent / "inventory")


@pytest.fixture(scope="session")
def hosts(inventory: Path) -> dict[str, Any]:
    """Return both hosts by name; commands on them run as root."""
    return {
        name: testinfra.get_host(f"ansible://{name}", ansible_inventory=str(inventory), sudo=True)
        for name in ("vault", "site")
    }


@pytest.fixture(scope="session")
def vault(hosts: dict[str, Any]) -> Any:
    """Return the host with the broker and the database (Debian 12)."""
    return hosts["vault"]


@pytest.fixture(scope="session")
def site(hosts: dict[str, Any]) -> Any:
    """Return the host with the site and Flower (Debian 13)."""
    return hosts["site"]


@pytest.fixture(params=["vault", "site"])
def host(request: pytest.FixtureRequest, hosts: dict[str, Any]) -> Any:
    """Return each host in turn."""
    return hosts[request.param]


@pytest.fixture(scope="session")
def variables(hosts: dict[str, Any]) -> dict[str, Any]:
    """Return what the inventory says of each host."""
    return {name: host.ansible.get_variables() for name, host in hosts.items()}


@pytest.fixture(scope="session")
def addresses(variables: dict[str, Any]) -> dict[str, str]:
    """Return the address of each host."""
    return {name: found["ansible_host"] for name, found in variables.items()}


@pytest.fixture(scope="session")
def secrets(variables: dict[str, Any]) -> Path:
    """Return the controller's folder of what must not leave it."""
    return Path(variables["vault"]["testbench_mail_folder"]).parent / "secrets"


@pytest.fixture(scope="session")
def play(inventory: Path) -> Callable[..., playbooks.Run]:
    """Run playbooks against both hosts."""

    def run(*names: str, **extra: Any) -> playbooks.Run:
        return playbooks.run([f"playbooks/{name}.yml" for name in names], [inventory], extra)

    return run


@pytest.fixture(scope="session")
def script() -> Script:
    """Run a script of tests/on_host with a host's own Python, as root and outside every sandbox, and return its answer."""

    def run(host: Any, name: str, *arguments: str) -> Any:
        code = (HERE / "on_host" / name).read_text()
        return json.loads(host.check_output(shlex.join(["python3", "-c", code, *arguments])))

    return run


@pytest.fixture(scope="session")
def deployed() -> Script:
    """Run a script of tests/on_host in a host's release: with its settings and credentials, outside every sandbox; return its answer."""

    def run(host: Any, name: str, *arguments: str) -> Any:
        code = (HERE / "on_host" / name).read_text()
        # Paths in the settings begin with /opt/sample/live, where a service sees its release; here it is bound in likewise.
        line = f"""
        unshare --mount sh -euc 'mount --bind "$(readlink -f /opt/sample/current)" /opt/sample/live
            set -a; . /opt/sample/live/config/environment; . /etc/sample/environment.secret; set +a
            mount -t tmpfs -o mode=0700 tmpfs /mnt; cp /etc/sample/credentials/* /mnt/; cp /mnt/broker_url_operator /mnt/broker_url
            export CREDENTIALS_DIRECTORY=/mnt; cd /opt/sample/live/src
            exec /opt/sample/live/venv/bin/python -c "$@"' sh {shlex.join([code, *arguments])}"""
        printed = host.check_output(line)
        return json.loads(printed.rpartition(ANSWER)[2])

    return run
