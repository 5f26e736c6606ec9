"""What `managed_units` needs to know of a unit that the role systemd_unit writes.

The filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

from typing import Any


def unit_state(unit: dict[str, Any]) -> dict[str, Any]:
    """Return name, enablement, state, and the paths whose change restarts the unit: its own file first.

    A command that runs to its end is left to it, however its unit has changed meanwhile: begun anew, it would do its work twice.
    """
    own = f"/etc/systemd/system/{unit['name']}"
    wanted = {key: unit[key] for key in ("name", "enabled", "state") if unit.get(key) is not None}
    if unit.get("directives", {}).get("Type") == "oneshot":
        return wanted
    return wanted | {"restart_on": [own, *unit.get("restart_on", [])]}


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"unit_state": unit_state}
