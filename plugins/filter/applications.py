"""Several applications on one host: which of them has what, by the records that each leaves there.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

RECORDS = "/etc/plainhost/applications"
# What two applications may not both have; each kind is a mapping of variables to a value or a list of values.
KINDS = ("folder", "account", "port", "site")
# So units say whose they are.
PART_OF = "PartOf="
TARGET = ".target"
# Of shares, which are fractions.
ROUNDING = 1e-6


def application_lines(records: Iterable[Mapping[str, Any]], targets: Iterable[str]) -> list[str]:
    """Return what a host with these records and these units would answer, as the other filters read it."""
    return [*(json.dumps(record) for record in records), *(f"{PART_OF}{target}" for target in targets)]


def application_faults(lines: Iterable[str], record: Mapping[str, Any], host: str) -> list[str]:
    """Return why an application can't be set up on a host beside those that it has.

    Args:
        lines: what the host answered: a record as JSON, or whose a unit is, a line each.
        record: of the application; empty where the host has no part in it.
        host: name of the host.
    """
    if not record:
        return []
    records, targets = _read(lines)
    name = record["application"]
    own = [one for one in records if one["application"] == name]
    others = [one for one in records if one["application"] != name]
    faults = [
        f"stack_prefix is '{record['prefix']}', and on {host} the application {name} was set up with '{one['prefix']}': "
        "another application needs a stack_app of its "
        "own. To change the prefix, remove the application first (playbook remove)"
        for one in own
        if one["prefix"] != record["prefix"]
    ]
    if faults:
        return faults
    if unknown := sorted(set(targets) - {one["application"] for one in records} - {name}):
        return [
            f"{host} has units of {', '.join(unknown)}, of which it has no record: run the inventory of each once with this "
            "version, and set stack_prefix in that "
            f"of one of them. Where {unknown[0]} is no more, remove it (playbook remove with stack_app: {unknown[0]})"
        ]
    if same := [one for one in others if _same_names(one["prefix"], record["prefix"])]:
        return [
            f"stack_prefix is '{record['prefix']}', and on {host} the application {same[0]['application']} has the names "
            "that follow from it (its prefix is "
            f"'{same[0]['prefix']}'): set stack_prefix to a word of its own in the inventory of {name}, such as {name.replace('-', '')[:8]}"
        ]
    return [*_taken(record, others, host), *_crowded(record, others, host), *_frontless(record, others, host)]


def removal_faults(lines: Iterable[str], application: str, prefix: str, host: str) -> list[str]:
    """Return why an application can't be removed from a host.

    Args:
        lines: as `application_faults` has them.
        application: its name.
        prefix: what its names begin with.
        host: name of the host.
    """
    records, _ = _read(lines)
    others = [one for one in records if one["application"] != application]
    if same := [one for one in others if one["prefix"] == prefix]:
        return [
            f"stack_prefix is '{prefix}', and on {host} those are the names of the application {same[0]['application']}, "
            f"not of {application}: give the "
            "inventory of what is to go"
        ]
    behind = [one["application"] for one in others if one["front"]]
    if prefix == "" and behind:
        return [
            f"{application} has the front of {host}, and {', '.join(behind)} is behind it, too: remove that first, or set "
            "stack_front: false there"
        ]
    return []


def _read(lines: Iterable[str]) -> tuple[list[dict[str, Any]], list[str]]:
    records: list[dict[str, Any]] = []
    targets: list[str] = []
    for line in lines:
        if line.startswith(PART_OF):
            targets += [
                word.removesuffix(TARGET) for word in line.removeprefix(PART_OF).split() if word.endswith(TARGET)
            ]
        elif line.strip():
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise AnsibleFilterError(
                    f"a file in {RECORDS} is no record of an application ({error}): remove it, and run that application's inventory"
                ) from error
    return records, targets


def _same_names(one: str, other: str) -> bool:
    # A cache's server is the prefix and this word.
    return one == other or bool(one and other and (one == f"{other}cache" or other == f"{one}cache"))


def _values(record: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    for variable, value in record.get(kind, {}).items():
        for one in value if isinstance(value, list) else [value]:
            if one not in ("", 0):
                yield variable, str(one).lower()


def _taken(record: Mapping[str, Any], others: Sequence[Mapping[str, Any]], host: str) -> Iterator[str]:
    for kind in KINDS:
        for other in others:
            theirs = {value: variable for variable, value in _values(other, kind)}
            for variable, value in _values(record, kind):
                if value in theirs:
                    verb = "has" if kind == "site" else "is"
                    yield (
                        f"{variable} {verb} {value}, which on {host} is the {theirs[value]} of {other['application']}: set {variable} to another"
                    )


def _crowded(record: Mapping[str, Any], others: Sequence[Mapping[str, Any]], host: str) -> Iterator[str]:
    total = float(record["share"]) + sum(float(one["share"]) for one in others)
    if total > 1 + ROUNDING:
        shares = ", ".join(f"{one['application']} ({one['share']})" for one in others)
        yield (
            f"stack_host_share is {record['share']}, and with {shares} the applications of {host} reckon with "
            f"{round(total, 3)} of its memory: lower it, here or in "
            "the inventory of another, which is then to be run first"
        )


def _frontless(record: Mapping[str, Any], others: Sequence[Mapping[str, Any]], host: str) -> Iterator[str]:
    if record["prefix"] and record["front"] and not any(one["front"] and not one["prefix"] for one in others):
        yield (
            f"stack_prefix is '{record['prefix']}', and {host} has no application without stack_prefix whose front this one "
            "could be behind: set up that one first, "
            "or set stack_front: false and bring a front of your own"
        )
    behind = [one["application"] for one in others if one["front"] and one["prefix"]]
    if behind and not record["prefix"] and not record["front"]:
        yield (
            f"{record['application']} is to have no front on {host} any more, and {', '.join(behind)} is behind it: remove that first, or set "
            "stack_front: false there"
        )


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (application_faults, removal_faults)}
