"""What `managed_units` and `managed_files` need to know of a unit that the role systemd_unit writes, and of a command in its sandbox.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unit_state(unit: dict[str, Any]) -> dict[str, Any]:
    """Return name, enablement, state, and the paths whose change restarts the unit: its own file first."""
    own = f"/etc/systemd/system/{unit['name']}"
    wanted = {key: unit[key] for key in ("name", "enabled", "state") if unit.get(key) is not None}
    return wanted | {"restart_on": [own, *unit.get("restart_on", [])]}


def unit_file(unit: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the unit's file for the lookup rendered_files, whose template finds the unit as `__unit`.

    Args:
        unit: the unit, as in `systemd_unit_units`.
        defaults: what a unit has that doesn't say otherwise.
    """
    return {"dest": f"/etc/systemd/system/{unit['name']}", "vars": {"__unit": {**defaults, **unit}}}


def command_file(command: Mapping[str, Any], unit: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's script for the lookup rendered_files, whose template finds the unit that it runs as in `__unit`.

    Args:
        command: `path`, `exec` and, where it has one of its own, `unit`, as in `systemd_unit_commands`.
        unit: the unit of commands that have none of their own; only of its own are a command's directives taken.
        defaults: what a unit has that doesn't say otherwise.
    """
    wanted = command.get("unit", unit)
    # systemd-run wants to find the program on the host, where the release isn't bound in; env, which is there, finds it inside.
    exec_paths = [*wanted.get("exec_paths", []), "/usr/bin/env"]
    seen = {
        "__unit": {**defaults, **wanted, "exec_paths": exec_paths},
        "__command": command["exec"],
        "__command_directives": "unit" in command,
    }
    return {"dest": command["path"], "mode": "0755", "vars": seen}


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"unit_state": unit_state, "unit_file": unit_file, "command_file": command_file}
