"""Which of a site's paths lie one within another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: crossing_paths
short_description: Names of the paths that aren't beside each other
description:
  - Of two paths one crosses the other when it is the same, or below it.
options:
  _input: {description: Paths by name. Each begins and ends with a slash; an empty one is none., type: dict, required: true}
  others: {description: Further paths that they must be beside. V(/) counts for nothing., type: list, elements: str, required: true}
positional: others
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
# ['media']
names: "{{ {'static': '/static/', 'media': '/ws/files/'} | plainhost.stack.crossing_paths(['/', '/ws/']) }}"
"""

RETURN = r"""
_value:
  description: The names.
  type: list
  elements: str
"""


def crossing_paths(paths: Mapping[str, str], others: Iterable[str]) -> list[str]:
    """Return the names of the paths that cross another.

    Args:
        paths: by name; each begins and ends with a slash, and an empty one is none.
        others: further paths; the root is above all and counts for nothing.
    """
    fixed = [path for path in others if path != "/"]
    found = []
    for name, path in paths.items():
        beside = [*fixed, *(other for key, other in paths.items() if key != name and other)]
        if path and any(path.startswith(other) or other.startswith(path) for other in beside):
            found.append(name)
    return found


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"crossing_paths": crossing_paths}
