"""What the roles share is computed once in a run: each name of it, as itself, after all checks."""

from __future__ import annotations

import json
from typing import Any

import yaml
from conftest import ROOT

from tools.tables import dry_run

ROLE = ROOT / "roles/stack"


def computed() -> dict[str, Any]:
    """Return the arguments of the task."""
    (task,) = yaml.safe_load((ROLE / "tasks/compute.yml").read_text())
    return task["ansible.builtin.set_fact"]


def test_every_computed_name_that_plays_may_use_is_there() -> None:
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    wanted = [name for name, value in variables.items() if name.startswith("stack_") and "{{" in json.dumps(value)]
    assert list(computed()) == wanted


def test_each_keeps_its_own_value() -> None:
    assert {name: value for name, value in computed().items() if value != "{{ " + name + " }}"} == {}


def test_it_is_the_last_of_the_checks_so_that_what_is_refused_has_its_own_message() -> None:
    steps = dry_run("local").steps
    (at,) = [number for number, step in enumerate(steps) if step.role == "stack" and step.action == "set_fact"]
    rest = {
        step.role
        for step in steps[at + 1 :]
        if "preflight" in step.task.tags and step.action not in ("meta", "set_fact")
    }
    assert (steps[at - 1].role, rest) == ("preflight", set())
