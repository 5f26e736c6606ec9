"""Names that an inventory sets in vain: what the playbooks set, what has another name now, what nobody reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import yaml
from ansible.module_utils.parsing.convert_bool import boolean

DOCUMENTATION = r"""
name: input_name_faults
short_description: Name the inputs that an inventory sets in vain
description:
  - The playbooks set many inputs of roles from variables of the role C(stack), in their folder C(wiring). What an inventory says of such an
    input has no effect.
  - An input that was renamed has no effect under its old name either.
  - Names that begin with C(stack_) are the role's. One that the role doesn't know is a misspelling, or an input of another version.
  - What a switch is needed for has no effect while it is off.
  - Returns a sentence for each that is set all the same. It names the variables to set instead.
options:
  _input: {description: "A host's variables, as C(hostvars) has them.", type: dict, required: true}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Refuse inputs that have no effect
  ansible.builtin.assert:
    that: hostvars[inventory_hostname] | plainhost.stack.input_name_faults == []
"""

RETURN = r"""
_value:
  description: A sentence for each such input, in the order of the names.
  type: list
  elements: str
"""

# Inputs that an inventory may hold under the name of an earlier version. CHANGELOG.md says when; the major version after it drops the line.
RENAMED = {
    "celery_user_home": "accounts_home",
    "certificates_authority_days": "certificates_ca_days",
    "certificates_authority_permitted": "certificates_ca_permitted",
    "stack_authority_certificate": "stack_ca_certificate",
    "stack_authority_key": "stack_ca_key",
    "stack_trusted_authorities": "stack_trusted_ca_certificates",
}

# What has an effect only with a switch: the beginning of its inputs' names, by the switch.
SWITCHED = {"stack_cache": "stack_cache_"}
# The beginning of the names that are the role's alone; those of other roles are words that an inventory may use for itself.
RESERVED = "stack_"

ROOT = Path(__file__).resolve().parents[2]
# A variable of the role `stack` in an expression.
SHARED = re.compile(r"\b(?:__)?stack_\w+")
# The role redis once more, under names that are the broker's in an inventory.
SECOND_USES = ("cache.yml",)
# So many sources of what is computed are worth naming.
MOST = 4


@cache
def wiring() -> dict[str, str]:
    """Return the expression of each input that a playbook sets."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "playbooks/wiring").glob("*.yml")):
        if file.name in SECOND_USES:
            continue
        found |= {name: str(value) for name, value in (yaml.safe_load(file.read_text()) or {}).items()}
    return found


@cache
def settable() -> frozenset[str]:
    """Return the variables of the role `stack` that an inventory may set."""
    specs = yaml.safe_load((ROOT / "roles/stack/meta/argument_specs.yml").read_text())["argument_specs"]
    return frozenset(specs["main"]["options"])


@cache
def computed() -> dict[str, str]:
    """Return the expression of each variable that the role `stack` computes."""
    return {
        name: str(value) for name, value in yaml.safe_load((ROOT / "roles/stack/vars/main.yml").read_text()).items()
    }


def sources(name: str) -> list[str]:
    """Return the variables that an inventory may set and that an input is set from directly, as they stand in its expression."""
    return [one for one in dict.fromkeys(SHARED.findall(wiring()[name])) if one in settable()]


def origins(name: str) -> list[str]:
    """Return the sources of an input, or where it has none those of what it is computed from, and so on.

    An empty list stands for more than MOST of these, which would tell a reader nothing.
    """
    level, seen = [wiring()[name]], set[str]()
    while level:
        named = list(dict.fromkeys(one for expression in level for one in SHARED.findall(expression)))
        if found := [one for one in named if one in settable()]:
            return found if not seen or len(found) <= MOST else []
        new = [one for one in named if one in computed() and one not in seen]
        seen |= set(new)
        level = [computed()[one] for one in new]
    return []


def input_name_faults(variables: Mapping[str, object]) -> list[str]:
    """Return the sentences; see the documentation of the filter."""
    inert = [_fault(name) for name in sorted({*wiring(), *RENAMED}) if name in variables]
    return inert + [_unknown(name) for name in sorted(_strangers(variables))] + _switched_off(variables)


def _strangers(variables: Mapping[str, object]) -> set[str]:
    known = settable() | {*wiring(), *RENAMED} | _kept(variables)
    return {name for name in variables if name.startswith(RESERVED)} - known


def _kept(variables: Mapping[str, object]) -> frozenset[str]:
    """Return what the role `stack` keeps for the rest of a run (its tasks/compute.yml), if it has done so: all, or none."""
    kept = frozenset(name for name, value in computed().items() if name.startswith(RESERVED) and "{{" in value)
    return kept if all(name in variables for name in kept) else frozenset()


def _unknown(name: str) -> str:
    if name in computed():
        return f"{name} has no effect in an inventory, since the stack computes it: take it out"
    # Compared without the beginning, which all share.
    near = get_close_matches(
        name.removeprefix(RESERVED), [one.removeprefix(RESERVED) for one in sorted(settable())], n=1, cutoff=0.7
    )
    mend = f"{RESERVED}{near[0]} may be meant" if near else "rename it, or take it out"
    return f"{name} is no input of the stack, and no other name may begin with {RESERVED}: {mend} (docs/variables.md lists all)"


def _switched_off(variables: Mapping[str, object]) -> list[str]:
    return [
        f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect without {switch}: set {switch}: true, or take out the rest"
        for switch, beginning in SWITCHED.items()
        if (names := sorted(name for name in variables if name.startswith(beginning) and name in settable()))
        and not boolean(variables.get(switch, False), strict=False)
    ]


def _fault(name: str) -> str:
    if name in RENAMED:
        return f"{name} is called {RENAMED[name]} now: rename it in the inventory"
    if instead := sources(name):
        return f"{name} has no effect in an inventory, since the stack sets it: set {' or '.join(instead)} instead"
    return f"{name} has no effect in an inventory, since the stack computes it: take it out"


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> Mapping[str, object]:
        """Return the filters by name."""
        return {"input_name_faults": input_name_faults}
