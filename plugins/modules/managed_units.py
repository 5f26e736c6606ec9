"""Bring many systemd units to their wanted state in one module call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_units
short_description: Enable, start and stop many systemd units, and restart those whose configuration is newer than they are
description:
  - Works on a list of units; those that need the same verb get it in one call, so that systemd orders them and long stops run
    side by side. A running unit is restarted when one of the paths in O(units[].restart_on) was written
    after the unit started. That fact is on the host, so a play that died between writing and restarting still restarts what it
    must when it is run again; a notified handler would be lost.
  - Reloads systemd first when a unit file has changed on disk.
options:
  units:
    description: The units, in the order in which to treat them.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Full name with its suffix., type: str, required: true}
      enabled: {description: Whether it starts at boot. Left alone when omitted., type: bool}
      state: {description: Wanted state. Left alone when omitted., type: str, choices: [started, stopped]}
      restart_on:
        description: Files, directories or links (themselves, not their targets) whose change asks for a restart.
        type: list
        elements: path
        default: []
      reload: {description: Reload instead of restart., type: bool, default: false}
  purge:
    description:
      - Shell patterns. A unit whose file lies in /etc/systemd/system, that matches and isn't among O(units) is stopped, disabled and
        its file removed.
    type: list
    elements: str
    default: []
  ready_timeout:
    description: Seconds that a unit may take from its start to being ready. A stop takes as long as the unit allows.
    type: int
    default: 120
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Start the server
  plainhost.stack.managed_units:
    units:
      - name: example.service
        enabled: true
        state: started
        restart_on: [/etc/example/example.conf]
"""

RETURN = r"""
started: {description: Units that were started., returned: always, type: list, elements: str}
stopped: {description: Units that were stopped., returned: always, type: list, elements: str}
restarted: {description: Units that were restarted., returned: always, type: list, elements: str}
reloaded: {description: Units that were reloaded., returned: always, type: list, elements: str}
enabled: {description: Units that were enabled., returned: always, type: list, elements: str}
disabled: {description: Units that were disabled., returned: always, type: list, elements: str}
removed: {description: Surplus units whose files were removed., returned: always, type: list, elements: str}
"""

import fnmatch
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

STARTED = "InactiveExitTimestampMonotonic"
# A reload changes the unit's state for a moment, but not when it started.
RELOADED = "StateChangeTimestampMonotonic"
PROPERTIES = f"LoadState,ActiveState,UnitFileState,NeedDaemonReload,DropInPaths,{STARTED},{RELOADED},Job,Result,Type"
UNIT_FOLDER = Path("/etc/systemd/system")
JOURNAL_LINES = "40"
# In this order: what goes away is stopped before what stays is restarted, and nothing is started before it may start at boot.
VERBS = (
    ("enabled", "enable"),
    ("disabled", "disable"),
    ("stopped", "stop"),
    ("reloaded", "reload"),
    ("restarted", "restart"),
    ("started", "start"),
)


class ManagedUnits:
    """Compares units with what systemd says of them, and acts."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.done: dict[str, list[str]] = {
            key: [] for key in ("started", "stopped", "restarted", "reloaded", "enabled", "disabled", "removed")
        }

    def run(self) -> None:
        """Treat every unit; exits the module."""
        units = self.module.params["units"]
        if not self.module.check_mode and any(self._is_outdated(unit) for unit in units):
            self._systemctl("daemon-reload")
        for unit in units:
            self._enablement(unit)
        for unit in units:
            self._state(unit)
        self._retire()
        for kind, verb in VERBS:
            self._act(verb, self.done[kind])
        self._remove()
        if not self.module.check_mode:
            # Also what ran before: a unit that crashes again and again is no "ok".
            self._wait([unit["name"] for unit in units if unit["state"] == "started"])
        self.module.exit_json(changed=any(self.done.values()), **self.done)

    def _is_outdated(self, unit: dict[str, Any]) -> bool:
        """Tell whether systemd has yet to read what is on disk."""
        shown = self._show(unit["name"])
        # systemd 252 doesn't see the first drop-in of a unit that it has loaded: NeedDaemonReload stays "no".
        dropins = [path for path in unit["restart_on"] if path.endswith(".conf") and f"/{unit['name']}.d/" in path]
        unseen = [path for path in dropins if Path(path).exists() and path not in shown["DropInPaths"].split()]
        return shown["NeedDaemonReload"] == "yes" or shown["LoadState"] == "not-found" or bool(unseen)

    def _systemctl(self, *arguments: str) -> str:
        code, out, err = self._run(*arguments)
        if code != 0:
            units = [word for word in arguments[1:] if not word.startswith("-")]
            journal = [line for name in units for line in self._journal(name)]
            self._refuse(" ".join(arguments), code, err.strip() or out.strip(), journal)
        return out

    def _run(self, *arguments: str) -> tuple[int, str, str]:
        """Return the status of systemctl, what it said, and what it complained of."""
        return self.module.run_command(["systemctl", "--no-ask-password", *arguments])

    def _refuse(self, command: str, code: int, reason: str, journal: list[str]) -> None:
        self.module.fail_json(msg=f"systemctl {command}: {reason}", rc=code, journal=journal)

    def _journal(self, name: str) -> list[str]:
        """Return the last lines of a unit that isn't well. It is called for a failure, so a failure of its own must not hide that one."""
        code, out, _ = self._run("show", "--property=ActiveState", name)
        if code == 0 and out.strip() == "ActiveState=active":
            return []
        command = ["journalctl", "--no-pager", "-n", JOURNAL_LINES, "-o", "short-iso", "-u", name]
        return self.module.run_command(command)[1].splitlines()

    def _show(self, name: str) -> dict[str, str]:
        code, out, err = self._run("show", f"--property={PROPERTIES}", name)
        if code != 0:
            # Not a fault of the unit, whose journal says nothing of it.
            self._refuse(f"show {name}", code, err.strip() or out.strip(), [])
        # Properties that a kind of unit doesn't have, or that are empty, are left out by systemctl.
        shown = dict.fromkeys(PROPERTIES.split(","), "")
        shown |= dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        return shown

    def _act(self, verb: str, names: list[str]) -> None:
        if not names or self.module.check_mode:
            return
        if verb in ("start", "restart"):
            # systemctl would wait without end for a unit that has no start timeout, such as a worker whose broker refuses it.
            self._systemctl(verb, "--no-block", *names)
            self._wait(names)
        else:
            self._systemctl(verb, *names)

    def _wait(self, names: list[str]) -> None:
        """Wait until units are active; the time counts from when one begins to start, not while its predecessor stops."""
        starting: dict[str, float] = {}
        waiting = list(names)
        while waiting:
            for name in list(waiting):
                state = self._show(name)
                if state["Job"] in ("", "0") and state["ActiveState"] == "active":
                    waiting.remove(name)
                elif state["Job"] in ("", "0") and state["ActiveState"] in ("failed", "inactive"):
                    if state["Result"] == "success" and state["Type"] == "oneshot":
                        waiting.remove(name)
                        continue
                    self._fail(name, f"{name} did not start: {state['ActiveState']} ({state['Result']})")
                elif state["ActiveState"] not in ("deactivating", "active"):
                    since = starting.setdefault(name, time.monotonic())
                    if time.monotonic() - since > self.module.params["ready_timeout"]:
                        self._fail(name, f"{name} is not ready after {self.module.params['ready_timeout']} s")
            if waiting:
                time.sleep(0.1)

    def _fail(self, name: str, message: str) -> None:
        self.module.fail_json(msg=message, journal=self._journal(name))

    def _retire(self) -> None:
        """Find the units that match a pattern of purge and that nobody wants any more."""
        wanted = {unit["name"] for unit in self.module.params["units"]}
        for path in sorted(UNIT_FOLDER.iterdir()):
            name = path.name
            if path.is_file() and name not in wanted and self._matches(name):
                self.done["removed"].append(name)
                if self._show(name)["ActiveState"] not in ("inactive", "failed"):
                    self.done["stopped"].append(name)
                if self._show(name)["UnitFileState"].startswith("enabled"):
                    self.done["disabled"].append(name)

    def _matches(self, name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.module.params["purge"])

    def _remove(self) -> None:
        if not self.done["removed"] or self.module.check_mode:
            return
        for name in self.done["removed"]:
            (UNIT_FOLDER / name).unlink()
            shutil.rmtree(UNIT_FOLDER / f"{name}.d", ignore_errors=True)
        self._systemctl("daemon-reload")

    def _enablement(self, unit: dict[str, Any]) -> None:
        if unit["enabled"] is None:
            return
        state = self._show(unit["name"])["UnitFileState"]
        is_enabled = state in ("enabled", "enabled-runtime", "alias")
        if unit["enabled"] and not is_enabled and state != "static":
            self.done["enabled"].append(unit["name"])
        elif not unit["enabled"] and is_enabled:
            self.done["disabled"].append(unit["name"])

    def _state(self, unit: dict[str, Any]) -> None:
        name, shown = unit["name"], self._show(unit["name"])
        running = shown["ActiveState"] in ("active", "activating", "reloading")
        if unit["state"] == "stopped":
            # Also a failed unit, or one that waits to be restarted, has to be put to rest.
            if shown["ActiveState"] not in ("inactive", "failed"):
                self.done["stopped"].append(name)
        elif unit["state"] == "started" and not running:
            self.done["started"].append(name)
        elif running and self._is_stale(unit["restart_on"], int(shown[RELOADED if unit["reload"] else STARTED] or 0)):
            self.done["reloaded" if unit["reload"] else "restarted"].append(name)

    @staticmethod
    def _is_stale(paths: list[str], started_monotonic: int) -> bool:
        """Tell whether a path was written after a unit started (microseconds of CLOCK_MONOTONIC)."""
        started = time.time() - (time.monotonic() - started_monotonic / 1e6)
        return any(os.lstat(path).st_mtime > started for path in paths if os.path.lexists(path))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "enabled": {"type": "bool"},
                    "state": {"type": "str", "choices": ["started", "stopped"]},
                    "restart_on": {"type": "list", "elements": "path", "default": []},
                    "reload": {"type": "bool", "default": False},
                },
            },
            "purge": {"type": "list", "elements": "str", "default": []},
            "ready_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    ManagedUnits(module).run()


if __name__ == "__main__":
    main()
