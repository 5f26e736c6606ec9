"""What every role promises: specs, defaults and README that agree with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import ROLES, ROOT

from tools import inputs


def specs_of(role: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]


def defaults_of(role: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text()) or {}


def inputs_of(role: str) -> dict[str, Any]:
    """Return the inputs of all entry points together."""
    return {name: option for spec in specs_of(role).values() for name, option in spec.get("options", {}).items()}


def every_option(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield prefix + name, option
        yield from every_option(option.get("options", {}), f"{prefix}{name}.")


@pytest.mark.parametrize("role", ROLES)
def test_the_files_of_a_role_are_there(role: str) -> None:
    wanted = ("meta/argument_specs.yml", "meta/main.yml", "defaults/main.yml", "README.md")
    assert [name for name in wanted if not (ROOT / "roles" / role / name).is_file()] == []


@pytest.mark.parametrize("role", ROLES)
def test_specs_and_defaults_name_the_same_inputs(role: str) -> None:
    assert sorted(inputs_of(role)) == sorted(defaults_of(role))


@pytest.mark.parametrize("role", ROLES)
def test_specs_and_defaults_agree_on_values(role: str) -> None:
    defaults = defaults_of(role)
    differ = {}
    for name, option in inputs_of(role).items():
        # A required input has no default in the specs, and nothing that could pass for a value in the defaults.
        wanted = (
            {"str": "", "path": "", "list": [], "dict": {}}.get(option["type"])
            if option.get("required")
            else option.get("default")
        )
        if name in defaults and defaults[name] != wanted:
            differ[name] = (wanted, defaults[name])
    assert differ == {}


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_means_the_same_by_an_input(role: str) -> None:
    everywhere = inputs_of(role)
    differ = [
        (entry, name)
        for entry, spec in specs_of(role).items()
        for name, option in spec.get("options", {}).items()
        if option != everywhere[name]
    ]
    assert differ == []


@pytest.mark.parametrize("role", ROLES)
def test_inputs_have_a_type_a_description_and_a_unit(role: str) -> None:
    faults = []
    for name, option in every_option(inputs_of(role)):
        description = option.get("description", "")
        text = description if isinstance(description, str) else " ".join(description)
        if "type" not in option:
            faults.append(f"{name}: no type")
        if not text.strip():
            faults.append(f"{name}: no description")
        # A number without its unit is a fault waiting to happen.
        if option.get("type") in ("int", "float") and not inputs.unit_of(option):
            faults.append(f"{name}: its description names no unit: {text}")
        if option.get("type") == "list" and "elements" not in option:
            faults.append(f"{name}: a list of what?")
    assert faults == []


@pytest.mark.parametrize("role", ROLES)
def test_inputs_carry_the_roles_name_and_secrets_are_not_shown(role: str) -> None:
    names = inputs_of(role)
    assert [name for name in names if not name.startswith(f"{role}_")] == []
    secret = re.compile(r"(password|secret_key|_dsn|token)$")
    assert [name for name, option in names.items() if secret.search(name) and not option.get("no_log")] == []


@pytest.mark.parametrize("role", ROLES)
def test_entry_points_and_task_files_match(role: str) -> None:
    # A role without tasks is one that only holds variables.
    tasks = {path.stem for path in (ROOT / "roles" / role / "tasks").glob("*.yml")}
    assert [entry for entry in specs_of(role) if tasks and entry not in tasks] == []
