"""Processes and timers of the project's own (`stack_processes`, `stack_timers`): what is wrong with them, which are a host's, and their units.

Pure functions of the inventory, so that the same rules are checked before a host is asked and tested without one. Each filter is documented
in a file of its name beside this one.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# It becomes a systemd instance name and the end of an account's name.
NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")
PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FOLDER = re.compile(r"[a-z0-9][a-z0-9_-]*")
# What systemd takes as it stands, within a command line.
PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
DEFAULT_GROUP = "workers"
# The folder of uploads, which is made with the release.
MEDIA = "media"
LEAST_WATCHDOG = 10
# What an entry has that doesn't say otherwise. Memory in MiB, times in seconds.
COMMON: dict[str, Any] = {
    "group": DEFAULT_GROUP,
    "memory_mib": 256,
    "threads": 64,
    "cpu_weight": 50,
    "egress": None,
    "exec_paths": [],
    "listens": False,
    "writable": [MEDIA],
    "broker": True,
    "database": True,
    "cache": True,
    "credentials": None,
    "connections": 1,
}
PROCESS: dict[str, Any] = COMMON | {"single": False, "notify": False, "watchdog": 0, "stop_timeout": 30}
TIMER: dict[str, Any] = COMMON | {"time_limit": 3600, "random_delay": 300, "persistent": True}
COMMANDS = ("manage", "program")
LEAST = {"memory_mib": 1, "threads": 1, "cpu_weight": 1, "connections": 0, "watchdog": 0, "stop_timeout": 1} | {
    "time_limit": 1,
    "random_delay": 0,
}
SWITCHES = ("listens", "broker", "database", "cache", "single", "notify", "persistent")
LISTS = ("egress", "exec_paths", "writable", "credentials")


def process_faults(processes: Any, timers: Any, groups: Mapping[str, Sequence[str]], hosts: Sequence[str]) -> list[str]:
    """Return what is wrong, each with the variable and the mend.

    Args:
        processes: `stack_processes`.
        timers: `stack_timers`.
        groups: hosts of each group of the inventory.
        hosts: those that have the application.
    """
    faults = []
    names: list[str] = []
    for variable, entries, known in (("stack_processes", processes, PROCESS), ("stack_timers", timers, TIMER)):
        if not isinstance(entries, list):
            faults.append(f"{variable} must be a list of entries, such as [{{name: bot, manage: run_bot}}]")
            continue
        for index, entry in enumerate(entries):
            where = f"{variable}[{index}]"
            if not isinstance(entry, Mapping):
                faults.append(
                    f"{where} must be an entry with a name and a command, such as {{name: bot, manage: run_bot}}"
                )
                continue
            names.append(str(entry.get("name", "")))
            texts = _entry_faults(entry, known, variable == "stack_timers", groups, hosts)
            faults += [f"{where} ({entry.get('name', 'no name')}): {text}" for text in texts]
    twice = sorted({name for name in names if names.count(name) > 1})
    return faults + [
        f"stack_processes, stack_timers: the name '{name}' is used twice; give each entry a name of its own"
        for name in twice
    ]


def _entry_faults(
    entry: Mapping[str, Any],
    known: Mapping[str, Any],
    is_timer: bool,
    groups: Mapping[str, Sequence[str]],
    hosts: Sequence[str],
) -> list[str]:
    keys = {"name", *COMMANDS, *known} | ({"calendar"} if is_timer else set())
    return [
        *(f"unknown key '{key}'; known: {', '.join(sorted(keys))}" for key in sorted(set(entry) - keys)),
        *([] if NAME.fullmatch(str(entry.get("name", ""))) else [
            "name must be lower-case letters, digits and _, starting with a letter, at most 24"
        ]),
        *_command_faults(entry),
        *(_calendar_faults(entry.get("calendar")) if is_timer else []),
        *_group_faults(str(entry.get("group", DEFAULT_GROUP)), groups, hosts),
        *_value_faults(entry),
        *_list_faults(entry),
    ]  # fmt: skip


def _command_faults(entry: Mapping[str, Any]) -> list[str]:
    given = [key for key in COMMANDS if key in entry]
    if not given:
        return ["has no command: set manage (a management command) or program (one of the release's environment)"]
    if len(given) > 1:
        return ["has both manage and program; keep the one that is to run"]
    try:
        words = _words(entry[given[0]])
    except ValueError as error:
        return [f"{given[0]} can't be split into words ({error}): mend the quoting, or write a list of words"]
    if not words:
        return [f"{given[0]} is empty: say what is to run, with its arguments"]
    if given[0] == "program" and not PROGRAM.fullmatch(words[0]):
        return [
            f"program is '{words[0]}'; it must be the name of a program of the release's environment, without a folder"
        ]
    return []


def _calendar_faults(calendar: Any) -> list[str]:
    entries = [calendar] if isinstance(calendar, str) else calendar
    if (
        not isinstance(entries, list)
        or not entries
        or not all(isinstance(one, str) and one.strip() and "\n" not in one for one in entries)
    ):
        return ["calendar must say when it runs, as in systemd.time(7), such as '*-*-* 03:00:00' or a list of such"]
    return []


def _group_faults(group: str, groups: Mapping[str, Sequence[str]], hosts: Sequence[str]) -> list[str]:
    if not groups.get(group):
        return [
            f"group '{group}' has no hosts in the inventory, so it would run nowhere: name a group of hosts that have the application"
        ]
    if strangers := sorted(set(groups[group]) - set(hosts)):
        return [
            f"group '{group}' has hosts without the application ({', '.join(strangers)}): put them into the group app, or name another group"
        ]
    return []


def _value_faults(entry: Mapping[str, Any]) -> list[str]:
    faults = []
    for key, least in LEAST.items():
        value = entry.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            faults.append(f"{key} is {value!r}; it must be a whole number {'above 0' if least else 'of 0 or more'}")
    faults += [
        f"{key} is {entry[key]!r}; it must be true or false"
        for key in SWITCHES
        if key in entry and not isinstance(entry[key], bool)
    ]
    watchdog = entry.get("watchdog", 0)
    if watchdog and not faults:
        if not entry.get("notify"):
            faults.append("watchdog needs a program that talks to systemd: set notify: true too, or leave watchdog out")
        elif watchdog < LEAST_WATCHDOG:
            faults.append(
                f"watchdog is {watchdog} s: a busy host looks like a hang. Set at least {LEAST_WATCHDOG}, or 0 for no watchdog"
            )
    return faults


def _list_faults(entry: Mapping[str, Any]) -> list[str]:
    faults = [
        f"{key} must be a list"
        for key in LISTS
        if entry.get(key) is not None
        and not (isinstance(entry[key], list) and all(isinstance(one, str) for one in entry[key]))
    ]
    if faults:
        return faults
    for peer in entry.get("egress") or []:
        if not _is_network(peer):
            faults.append(
                f"egress has '{peer}': the sandbox allows addresses and networks, and a name is none. Use the address, or any"
            )
    faults += [
        f"exec_paths has '{path}': write the whole path"
        for path in entry.get("exec_paths", [])
        if not path.startswith("/")
    ]
    faults += [
        f"writable has '{name}': name folders below stack_state_dir, such as {MEDIA}, in lower-case letters, digits, _ and -"
        for name in entry.get("writable", [])
        if not FOLDER.fullmatch(name)
    ]
    return faults


def _is_network(peer: str) -> bool:
    try:
        ipaddress.ip_network(peer, strict=False)
    except ValueError:
        return peer in ("any", "localhost")
    return True


def _words(command: str | Sequence[Any]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def processes_of_host(
    entries: Iterable[Mapping[str, Any]], host: str, groups: Mapping[str, Sequence[str]], alone: bool
) -> list[dict[str, Any]]:
    """Return the entries that run on a host, with all that they don't say themselves.

    Args:
        entries: of `stack_processes` and `stack_timers`.
        host: its name in the inventory.
        groups: hosts of each group of the inventory.
        alone: whether the host is a deployment of its own. If not, the first host of a group runs what is to run once.
    """
    found = []
    for entry in entries:
        filled = (TIMER if "calendar" in entry else PROCESS) | dict(entry)
        members = groups.get(filled["group"], [])
        runs_once = "calendar" in entry or filled["single"]
        if host in members and (alone or not runs_once or members[0] == host):
            found.append(filled)
    return found


def process_units(
    entries: Iterable[Mapping[str, Any]], unit: Mapping[str, Any], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the units of a host's entries: a service for each process, a service and a timer for each timer.

    Args:
        entries: what `processes_of_host` returns.
        unit: what their units have in common. Of its credentials each gets what its entry needs.
        options: `python` and `programs_dir`: what is run; `prefix`: what the units' names begin with; `user`: the accounts' names
            up to the entry's, or with `account_per_entry` false the name of all; `state_dir`: where folders to write
            to lie; `restart_on` and `peers`: as the role's inputs; `target`: what groups the application's units.
    """
    units: list[dict[str, Any]] = []
    for entry in entries:
        common = {**unit, **_common(entry, unit, options)}
        if "calendar" in entry:
            units += [common | _timer_service(entry, options), _timer(entry, options)]
        else:
            units.append(common | _process(entry, common, options))
    return units


def process_folders(entries: Iterable[Mapping[str, Any]], state_dir: str, group: str) -> list[dict[str, str]]:
    """Return the folders that a host's entries write to, beside that of uploads, as the module managed_files makes them.

    Args:
        entries: what `processes_of_host` returns.
        state_dir: where the folders lie.
        group: the application's; what one of its services writes, the others may read.
    """
    names = dict.fromkeys(name for entry in entries for name in entry["writable"] if name != MEDIA)
    return [{"path": f"{state_dir}/{name}", "mode": "2770", "group": group} for name in names]


def bare_units(units: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the units' names alone, as the module managed_units takes units that it is to leave as they are."""
    return [{"name": unit["name"]} for unit in units]


def _common(entry: Mapping[str, Any], unit: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    egress = (
        unit.get("egress", [])
        if entry["egress"] is None
        else list(dict.fromkeys([*options["peers"], *entry["egress"]]))
    )
    return {
        "user": f"{options['user']}_{entry['name']}" if options["account_per_entry"] else options["user"],
        "umask": unit.get("umask", "0007"),
        "exec_start": _exec_start(entry, options),
        "credentials": _credentials(entry, unit.get("credentials", {})),
        "read_write_paths": _united(
            [f"{options['state_dir']}/{name}" for name in entry["writable"]], unit.get("read_write_paths", [])
        ),
        "egress": egress,
        "exec_paths": _united(unit.get("exec_paths", []), entry["exec_paths"]),
        "listens": entry["listens"],
    }


def _united(*lists: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(one for several in lists for one in several))


def _exec_start(entry: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    if "manage" in entry:
        words = [options["python"], "-m", "django", *_words(entry["manage"])]
    else:
        program, *arguments = _words(entry["program"])
        words = [f"{options['programs_dir']}/{program}", *arguments]
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back (systemd.service(5), "Command lines"), which expands % and $ also in quotes."""
    if PLAIN_WORD.fullmatch(word):
        return word
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%"), ("$", "$$")):
        word = word.replace(character, written)
    return f'"{word}"'


def _credentials(entry: Mapping[str, Any], login: Mapping[str, str]) -> dict[str, str]:
    def wanted(name: str) -> bool:
        if name == "broker_url":
            return bool(entry["broker"])
        if name in ("database_user", "database_password"):
            return bool(entry["database"])
        if name in ("cache_url", "cache_celery_url"):
            return bool(entry["cache"])
        return entry["credentials"] is None or name in entry["credentials"]

    found = {name: file for name, file in login.items() if wanted(name)}
    if "secret_key" in login and "secret_key" not in found:
        # Settings may refuse to load without Django's key: one that opens nothing stands for it.
        found["secret_key"] = f"{login['secret_key']}_process"
    return found


def _limits(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "OOMPolicy": "stop",
        "MemoryMax": f"{entry['memory_mib']}M",
        "TasksMax": entry["threads"],
        "CPUWeight": entry["cpu_weight"],
    }


def _process(entry: Mapping[str, Any], common: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{options['prefix']}django-process@{entry['name']}.service",
        "description": f"Process of the project's own, {entry['name']}",
        "enabled": True,
        "state": "started",
        "restart_on": [*options["restart_on"], *common["credentials"].values()],
        "watchdog": entry["watchdog"],
        "directives": {
            "Type": "notify" if entry["notify"] else "exec",
            "NotifyAccess": "main" if entry["notify"] else "none",
            "Restart": "always",
            "RestartSec": 2,
            "TimeoutStartSec": "infinity",
            "TimeoutStopSec": entry["stop_timeout"],
            "KillMode": "mixed",
            **_limits(entry),
        },
    }


def _timer_service(entry: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{options['prefix']}django-timer@{entry['name']}.service",
        "description": f"Command by the clock, {entry['name']}",
        # The clock starts it, and neither a boot nor the application's target.
        "wanted_by": [],
        "directives": {
            "Type": "oneshot",
            "TimeoutStartSec": entry["time_limit"],
            "KillMode": "mixed",
            **_limits(entry),
        },
    }


def _timer(entry: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    calendar = entry["calendar"]
    return {
        "name": f"{options['prefix']}django-timer@{entry['name']}.timer",
        "description": f"When {entry['name']} runs",
        "part_of": [options["target"]],
        "wanted_by": [options["target"]],
        "enabled": True,
        "state": "started",
        "directives": {
            "OnCalendar": [calendar] if isinstance(calendar, str) else list(calendar),
            "RandomizedDelaySec": entry["random_delay"],
            "Persistent": entry["persistent"],
        },
    }


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            function.__name__: function
            for function in (process_faults, processes_of_host, process_units, process_folders, bare_units)
        }
