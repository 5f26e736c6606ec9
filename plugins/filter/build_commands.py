"""Commands of a build of the project's own (`django_project_build_commands`): what is wrong with them, and what is to run.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

VARIABLE = "django_project_build_commands"
KEYS = ("hosts", "run")
EXAMPLE = "{run: npm ci, hosts: [packages.example.com]}"
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")


def build_command_faults(commands: Any) -> list[str]:
    """Return what is wrong, each with the variable and the mend; see the documentation of the filter."""
    if not isinstance(commands, list):
        return [f"{VARIABLE} must be a list of commands, such as [{EXAMPLE}]"]
    return [f"{VARIABLE}[{index}]: {text}" for index, one in enumerate(commands) for text in _faults_of(one)]


def _faults_of(command: Any) -> list[str]:
    if not isinstance(command, Mapping):
        return [f"it must be an entry, such as {EXAMPLE}"]
    faults = [f"unknown key '{key}'; known: {', '.join(KEYS)}" for key in sorted(set(command) - set(KEYS))]
    try:
        if not _words(command.get("run") or []):
            faults.append("run is empty: say what is to run, with its arguments")
    except ValueError as error:
        faults.append(f"run can't be split into words ({error}): mend the quoting, or write a list of words")
    hosts = command.get("hosts", [])
    if not isinstance(hosts, list):
        return [*faults, "hosts must be a list of names"]
    return faults + [
        f"hosts has '{host}': write the name or the address alone" for host in hosts if not HOST.fullmatch(str(host))
    ]


def _words(command: str | Iterable[Any]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def build_commands(commands: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the `words` of each command, and the `hosts` that it may reach."""
    return [{"words": _words(one["run"]), "hosts": list(one.get("hosts", []))} for one in commands]


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (build_command_faults, build_commands)}
