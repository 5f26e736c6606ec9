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
  - A unit that isn't well fails the task with the last lines of its journal. What those of its credentials and environment
    files hold that others can't read is masked there.
options:
  units:
    description: The units, in the order in which to treat them.
    type: list
    elements: dict
    default: []
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
  settle:
    description:
      - Seconds that a service must have run for, since its program was started, where it can't say when it is ready, or has been started anew.
        One that ends meanwhile by a fault fails the task. With 0 nobody waits for that.
      - It goes for O(units) and for those of O(target), whatever their wanted state.
    type: int
    default: 0
  target:
    description: A target. What it wants is looked at with O(settle), and left alone otherwise.
    type: str
    default: ""
  advice:
    description: What to say of a unit that isn't well where its journal has a text that is known.
    type: list
    elements: dict
    default: []
    suboptions:
      pattern: {description: Regular expression., type: str, required: true}
      say: {description: What it means, and the mend., type: str, required: true}
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
import re
import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.plainhost.stack.plugins.module_utils.masking import masked, secrets

STARTED = "InactiveExitTimestampMonotonic"
# A reload changes the unit's state for a moment, but not when it started.
RELOADED = "StateChangeTimestampMonotonic"
# Of a service's program, also when systemd has started it anew.
BEGUN = "ExecMainStartTimestampMonotonic"
PROPERTIES = (
    f"LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,DropInPaths,{STARTED},{RELOADED},{BEGUN},Job,Result,Type,"
    "NRestarts,ExecMainStatus,Wants"
)
# Types of services that count as started when their program does, and not when it is ready.
SILENT = ("simple", "exec", "idle", "forking")
# Where a unit says which files hold its secrets.
SECRET_FILES = re.compile(r"^(?:LoadCredential=[^:]+:|EnvironmentFile=-?)(/.+)$", re.MULTILINE)
# Names of accounts are none, and are often the application's own.
NO_SECRETS = ["*_user", "*_user_*"]
UNIT_FOLDER = Path("/etc/systemd/system")
# When the timers that make up for missed runs ran last.
TIMER_FOLDER = Path("/var/lib/systemd/timers")
JOURNAL_LINES = "40"
# Seconds between two looks.
PAUSE = 0.1
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
            if self.module.params["settle"]:
                self._settle([unit["name"] for unit in units] + self._members())
        self.module.exit_json(changed=any(self.done.values()), **self.done, **self._diff())

    def _diff(self) -> dict[str, Any]:
        """Return what became of which units, for a run that shows changes: a dry run says no more of a unit than this."""
        if not self.module._diff:
            return {}
        kinds = [*(kind for kind, _ in VERBS), "removed"]
        return {"diff": {"prepared": "".join(f"{kind}: {name}\n" for kind in kinds for name in self.done[kind])}}

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
            self._refuse(
                " ".join(arguments), code, err.strip() or out.strip(), [name for name in units if self._is_down(name)]
            )
        return out

    def _run(self, *arguments: str) -> tuple[int, str, str]:
        """Return the status of systemctl, what it said, and what it complained of."""
        return self.module.run_command(["systemctl", "--no-ask-password", *arguments])

    def _refuse(self, command: str, code: int, reason: str, down: list[str]) -> None:
        self.module.fail_json(msg="\n".join([f"systemctl {command}: {reason}", *map(self._last_words, down)]), rc=code)

    def _is_down(self, name: str) -> bool:
        """Tell whether a unit isn't active. It is called for a failure, so a failure of its own must not hide that one."""
        code, out, _ = self._run("show", "--property=ActiveState", name)
        return code != 0 or out.strip() != "ActiveState=active"

    def _last_words(self, name: str) -> str:
        """Return the last lines of a unit's journal without its secrets, and what they mean where that is known."""
        command = ["journalctl", "--no-pager", "-n", JOURNAL_LINES, "-o", "cat", "-u", name]
        said = masked(self.module.run_command(command)[1].strip(), self._secrets(name))
        lines = [f"The last lines of its journal (journalctl -u {name}):", *said.splitlines()] if said else []
        meant = [one["say"] for one in self.module.params["advice"] if re.search(one["pattern"], said)]
        return "\n".join([*lines, *meant])

    def _secrets(self, name: str) -> list[str]:
        """Return what is in those files of a unit that others can't read. In the others are paths, which are worth reading in a traceback."""
        paths = [path for path in SECRET_FILES.findall(self._run("cat", name)[1]) if Path(path).is_file()]
        return secrets([path for path in paths if not Path(path).stat().st_mode & 0o077], NO_SECRETS)

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
                time.sleep(PAUSE)

    def _members(self) -> list[str]:
        """Return what the target wants."""
        target = self.module.params["target"]
        return sorted(self._show(target)["Wants"].split()) if target else []

    def _settle(self, names: list[str]) -> None:
        """Wait until services have run for long enough; one that ends meanwhile by a fault fails the task.

        A service that is started anew again and again is active in between, so one look says nothing.
        """
        patience = self.module.params["settle"]
        # A start by systemd takes a moment, and a program may end before it has run for long enough.
        deadline = time.monotonic() + 3 * patience
        waiting = [name for name in names if name.endswith(".service")]
        while waiting and time.monotonic() < deadline:
            waiting = [name for name in waiting if self._is_unsettled(name, patience)]
            time.sleep(PAUSE if waiting else 0)

    def _is_unsettled(self, name: str, patience: int) -> bool:
        """Tell whether to look at a service once more."""
        state = self._show(name)
        if state["Type"] == "oneshot" or state["ActiveState"] == "inactive":
            return False
        has_ended = state["ActiveState"] == "failed" or state["SubState"].startswith("auto-restart")
        if has_ended and state["Result"] != "success":
            ends = f"{state['Result']}, exit status {state['ExecMainStatus']}"
            count = int(state["NRestarts"] or 0)
            self._fail(
                name,
                f"{name} ends again and again: {ends}, started anew {count} times"
                if count
                else f"{name} ended: {ends}",
            )
        if has_ended:
            return False
        if state["Type"] not in SILENT and not int(state["NRestarts"] or 0):
            return False
        return time.monotonic() - int(state[BEGUN] or 0) / 1e6 < patience

    def _fail(self, name: str, message: str) -> None:
        said = self._last_words(name)
        self.module.fail_json(msg=f"{message}. {said}" if said else message)

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
            # A timer of this name that comes later has missed nothing.
            (TIMER_FOLDER / f"stamp-{name}").unlink(missing_ok=True)
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
                "default": [],
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
            "settle": {"type": "int", "default": 0},
            "target": {"type": "str", "default": ""},
            "advice": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"pattern": {"type": "str", "required": True}, "say": {"type": "str", "required": True}},
            },
        },
        supports_check_mode=True,
    )
    ManagedUnits(module).run()


if __name__ == "__main__":
    main()
