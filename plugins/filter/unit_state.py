"""What `managed_units` needs to know of a unit that the role systemd_unit writes."""

from __future__ import annotations

from typing import Any

DOCUMENTATION = r"""
name: unit_state
short_description: Reduce a unit of systemd_unit_units to its wanted state
options:
  _input: {description: The unit., type: dict, required: true}
author: The plainhost maintainers
"""


def unit_state(unit: dict[str, Any]) -> dict[str, Any]:
    """Return name, enablement, state, and the paths whose change restarts the unit: its own file first."""
    own = f"/etc/systemd/system/{unit['name']}"
    wanted = {key: unit[key] for key in ("name", "enabled", "state") if unit.get(key) is not None}
    return wanted | {"restart_on": [own, *unit.get("restart_on", [])]}


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"unit_state": unit_state}
