"""Inputs of roles that the stack's playbooks set, and that an inventory therefore can't."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import cache
from pathlib import Path

import yaml

DOCUMENTATION = r"""
name: wired_input_faults
short_description: Name the inputs that an inventory sets in vain
description:
  - The playbooks set many inputs of roles from variables of the role C(stack), in their folder C(wiring). What an inventory says of such an
    input has no effect.
  - Returns a sentence for each that is set all the same. It names the variables to set instead.
options:
  _input: {description: "A host's variables, as C(hostvars) has them.", type: dict, required: true}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Refuse inputs that have no effect
  ansible.builtin.assert:
    that: hostvars[inventory_hostname] | plainhost.stack.wired_input_faults == []
"""

RETURN = r"""
_value:
  description: A sentence for each such input, in the order of the names.
  type: list
  elements: str
"""

ROOT = Path(__file__).resolve().parents[2]
# A variable of the role `stack` in an expression.
SHARED = re.compile(r"\bstack_\w+")


@cache
def wiring() -> dict[str, str]:
    """Return the expression of each input that a playbook sets."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "playbooks/wiring").glob("*.yml")):
        found |= {name: str(value) for name, value in (yaml.safe_load(file.read_text()) or {}).items()}
    return found


@cache
def settable() -> frozenset[str]:
    """Return the variables of the role `stack` that an inventory may set."""
    return frozenset(yaml.safe_load((ROOT / "roles/stack/defaults/main.yml").read_text()))


def sources(name: str) -> list[str]:
    """Return the variables that an inventory may set and that an input is set from directly, as they stand in its expression."""
    return [one for one in dict.fromkeys(SHARED.findall(wiring()[name])) if one in settable()]


def wired_input_faults(variables: Container[str]) -> list[str]:
    """Return the sentences; see the documentation of the filter."""
    return [_fault(name) for name in sorted(wiring()) if name in variables]


def _fault(name: str) -> str:
    if instead := sources(name):
        return f"{name} has no effect in an inventory, since the stack sets it: set {' or '.join(instead)} instead"
    return f"{name} has no effect in an inventory, since the stack computes it: take it out"


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> Mapping[str, object]:
        """Return the filters by name."""
        return {"wired_input_faults": wired_input_faults}
