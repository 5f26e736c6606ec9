"""What `managed_units` needs to know of a unit that the role systemd_unit writes."""

from __future__ import annotations

from typing import Any

DOCUMENTATION = r"""
name: unit_state
short_description: Reduce a unit of systemd_unit_units to its wanted state
description:
  - Takes from a unit of the role C(systemd_unit) what M(plainhost.stack.managed_units) needs. The unit's own file comes first
    among the paths whose change restarts it.
options:
  _input: {description: The unit., type: dict, required: true}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
# {'name': 'example.service', 'state': 'started', 'restart_on': ['/etc/systemd/system/example.service']}
wanted: "{{ {'name': 'example.service', 'state': 'started'} | plainhost.stack.unit_state }}"
"""

RETURN = r"""
_value:
  description: C(name), C(enabled) and C(state) where the unit has them, and C(restart_on), a list of paths.
  type: dict
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
