"""The project's own steps of a release (`stack_release_steps`): what is wrong with them, and which run at a moment on a host.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOMENTS = ("before_migration", "after_migration", "after_static", "before_switch", "after_switch")
KEYS = ("at", "every_host", "manage", "time_limit")
# Seconds.
TIME_LIMIT = 600


def step_faults(steps: Any) -> list[str]:
    """Return what is wrong, each with the variable and the mend; see the documentation of the filter."""
    if not isinstance(steps, list):
        return ["stack_release_steps must be a list of steps, such as [{at: after_migration, manage: compilemessages}]"]
    return [f"stack_release_steps[{index}]: {text}" for index, step in enumerate(steps) for text in _faults_of(step)]


def _faults_of(step: Any) -> list[str]:
    if not isinstance(step, Mapping):
        return ["it must be a step, such as {at: after_migration, manage: compilemessages}"]
    faults = [f"unknown key '{key}'; known: {', '.join(KEYS)}" for key in sorted(set(step) - set(KEYS))]
    if step.get("at") not in MOMENTS:
        faults.append(f"at is {step.get('at')!r}; it must be one of {', '.join(MOMENTS)}")
    try:
        if not _words(step.get("manage") or []):
            faults.append("manage is empty: say which management command is to run, with its arguments")
    except ValueError as error:
        faults.append(f"manage can't be split into words ({error}): mend the quoting, or write a list of words")
    limit = step.get("time_limit", TIME_LIMIT)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        faults.append(f"time_limit is {limit!r}; it must be a number of seconds above 0")
    if not isinstance(step.get("every_host", False), bool):
        faults.append(f"every_host is {step['every_host']!r}; it must be true or false")
    return faults


def _words(command: str | Sequence[Any]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def steps_at(steps: Iterable[Mapping[str, Any]], moment: str, leads: bool) -> list[dict[str, Any]]:
    """Return the steps that run at a moment on a host.

    Args:
        steps: `stack_release_steps`.
        moment: one of `MOMENTS`.
        leads: whether the host does what is done once in a deployment.

    Returns:
        `words` of the management command, and `time_limit` (s).
    """
    return [
        {"words": _words(step["manage"]), "time_limit": int(step.get("time_limit", TIME_LIMIT))}
        for step in steps
        if step["at"] == moment and (leads or step.get("every_host", False))
    ]


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (step_faults, steps_at)}
