"""From an inventory to the hosts that it asks for, and back: the generated file that says where they are."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from testbench.console import Problem
from testbench.podman import NAMED, PREFIX, ROOT, run

GENERATED = "zz-testbench.yml"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")


@dataclass(frozen=True)
class Host:
    """One host that an inventory asks for."""

    scope: str
    name: str
    release: str
    memory: str = ""
    cpus: str = ""

    @property
    def container(self) -> str:
        """Name of its container."""
        return f"{NAMED}-{self.scope}-{self.name}".replace("_", "-")

    @property
    def journal(self) -> str:
        """Name of the volume that keeps its journal over a restart."""
        return f"{self.container}-journal"

    @property
    def spec(self) -> str:
        """What it was made from; a container of another spec is made anew."""
        return f"{self.release} memory={self.memory} cpus={self.cpus}"


def parse(found: dict[str, Any], scope: str) -> list[Host]:
    """Return the hosts of an `ansible-inventory --list` that name a release."""
    hosts = [
        Host(
            scope,
            name,
            str(variables["testbench_release"]),
            str(variables.get("testbench_memory", "")),
            str(variables.get("testbench_cpus", "")),
        )
        for name, variables in sorted(found.get("_meta", {}).get("hostvars", {}).items())
        if "testbench_release" in variables
    ]
    for host in hosts:
        if not NAME.fullmatch(host.name.replace("_", "-")):
            raise Problem(f"Host {host.name!r}: a test host's name has small letters, digits and dashes, at most 42.")
    return hosts


@cache
def listing(path: Path) -> dict[str, Any]:
    """Return what `ansible-inventory --list` says of an inventory, the generated file left out."""
    source = path / "hosts.yml" if path.is_dir() else path
    if not source.exists():
        raise Problem(f"There is no inventory at {source}.")
    tool = Path(sys.executable).parent / "ansible-inventory"
    found: dict[str, Any] = json.loads(run([str(tool), "-i", str(source), "--list"]).stdout)
    return found


def read(path: Path, scope: str) -> list[Host]:
    """Return the hosts that an inventory asks for: those with the variable testbench_release."""
    hosts = parse(listing(path), scope)
    if not hosts:
        raise Problem(f"No host of {path} has the variable testbench_release (bookworm or trixie).")
    return hosts


def ssh_arguments(known_hosts: Path) -> list[str]:
    """Return SSH options for the test hosts: their own known keys, and no configuration of the user's."""
    return [
        "-F",
        "/dev/null",
        "-o",
        f'UserKnownHostsFile="{known_hosts}"',
        "-o",
        "GlobalKnownHostsFile=/dev/null",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "LogLevel=ERROR",
    ]


def control_path() -> Path:
    """Return where open connections to test hosts are kept; ssh fills in the last part.

    It is named, so that Ansible, testinfra and the test bench share one connection, and the test bench can close one to a host that it has
    just restarted. Testinfra reads no variable of Ansible's but the arguments; without a path it logs in anew for each command, which takes
    0.4 s in place of 0.06.
    """
    return Path("~/.ansible/cp").expanduser() / f"{PREFIX}-%C"


def generated(addresses: dict[str, str], gateway: str, state: Path) -> str:
    """Return the text of the generated inventory."""
    shared = control_path()
    # Ansible only makes the folder of a path that it has chosen itself.
    shared.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    common = {
        "ansible_user": "ops",
        "ansible_ssh_private_key_file": str(state / "id_ed25519"),
        "ansible_ssh_common_args": shlex.join([*ssh_arguments(state / "known_hosts"), "-o", f"ControlPath={shared}"]),
        "testbench_gateway": gateway,
        "testbench_mail_folder": str(state / "mail"),
    }
    hosts = {name: {"ansible_host": address, **common} for name, address in sorted(addresses.items())}
    return (
        "---\n# Written by the test bench for the hosts that are up now; do not edit, do not commit.\n"
        + yaml.safe_dump({"all": {"hosts": hosts}}, sort_keys=False, width=1000)
    )


def write(path: Path, content: str) -> None:
    """Replace a file at once, so that nobody reads half of it; leave it alone when nothing changed."""
    if path.exists() and path.read_text() == content:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(content)
    partial.replace(path)


def generated_path(inventory: Path) -> Path:
    """Return where the generated file of an inventory lies: beside it, read after it."""
    return (inventory if inventory.is_dir() else inventory.parent) / GENERATED


def shown(path: Path) -> str:
    """Return a path as a person would type it from the project's root."""
    try:
        return str(path.resolve().relative_to(ROOT))
    except ValueError:
        return str(path)
