"""Each environment's inventory is complete: it can be read, and every playbook can be parsed against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

BIN = Path(sys.executable).parent
ENVIRONMENTS = ["local", "staging", "production"]
GROUPS = {"redis", "database", "web", "workers", "beat", "flower", "app"}
PLAYBOOKS = ["site.yml", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("playbooks/*.yml"))]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@cache
def inventory(name: str) -> dict[str, Any]:
    result = run("ansible-inventory", "-i", f"inventories/{name}", "--list")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def hosts_in(tree: dict[str, Any], group: str) -> set[str]:
    found = set(tree.get(group, {}).get("hosts", []))
    for child in tree.get(group, {}).get("children", []):
        found |= hosts_in(tree, child)
    return found


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_graph_shows_every_group(name: str) -> None:
    result = run("ansible-inventory", "-i", f"inventories/{name}", "--graph")
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr, result.stderr
    assert [group for group in sorted(GROUPS) if f"@{group}:" not in result.stdout] == []


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_group_has_a_host(name: str) -> None:
    tree = inventory(name)
    assert [group for group in sorted(GROUPS) if not hosts_in(tree, group)] == []
    assert hosts_in(tree, "app") == {
        host for group in ("web", "workers", "beat", "flower") for host in hosts_in(tree, group)
    }


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_one_beat_is_active(name: str) -> None:
    variables = inventory(name)["_meta"]["hostvars"]
    active = [host for host in hosts_in(inventory(name), "beat") if variables[host].get("stack_beat_active", True)]
    assert len(active) == 1


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_playbook_parses(name: str) -> None:
    # All in one process: most of its time is Python's start and the import of Ansible.
    assert len(PLAYBOOKS) > 1
    result = run("ansible-playbook", "-i", f"inventories/{name}", "--syntax-check", *PLAYBOOKS)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [playbook for playbook in PLAYBOOKS if f"playbook: {playbook}" not in result.stdout] == []


@pytest.mark.parametrize(
    "scenario", sorted(path.parent.parent.name for path in ROOT.glob("molecule/*/inventory/hosts.yml"))
)
def test_a_scenario_is_on_top_of_what_the_local_inventory_ships(scenario: str) -> None:
    # By a link, which some ways to copy a tree turn into a file with the target's name.
    result = run("ansible-inventory", "-i", f"molecule/{scenario}/inventory", "--list")
    assert result.returncode == 0, result.stderr
    [name, *_] = hosts_in(json.loads(result.stdout), "app")
    assert json.loads(result.stdout)["_meta"]["hostvars"][name]["stack_broker_seed"]
