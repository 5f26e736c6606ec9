"""The files of units and of sandboxed commands, and the one copy of the sandbox that they share.

What each directive does: systemd.exec(5) and systemd.resource-control(5). Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

# What a unit has that doesn't say otherwise: argument specs document defaults but don't fill them in.
DEFAULTS: dict[str, Any] = {
    "after": [],
    "wants": [],
    "requires": [],
    "part_of": [],
    "wanted_by": [],
    "exec_start": "",
    "user": "",
    "group": "",
    "environment_files": [],
    "credentials": {},
    "directives": {},
    "watchdog": 0,
    "sandbox": True,
    "sandbox_without": [],
    "release": "",
    "live": "",
    "working_directory": "",
    "python": True,
    "interpreter": [],
    "exec_paths": [],
    "read_write_paths": [],
    "egress": [],
    "listens": False,
    "syslog": False,
    "umask": "0077",
    "shared_memory": "64M",
}

PRIVILEGES = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "KeyringMode=private",
    "RemoveIPC=yes",
)
PLACES = (
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "DevicePolicy=closed",
    "PrivateUsers=yes",
    "PrivateIPC=yes",
)
KERNEL = (
    "ProtectHostname=yes",
    "ProtectClock=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources @keyring",
    # Programs without a path that NoExecPaths= knows; requests past this filter; the memory and the open files of the account's other processes.
    "SystemCallFilter=~memfd_create memfd_secret io_uring_setup io_uring_enter io_uring_register process_vm_readv process_vm_writev"
    " pidfd_getfd kcmp",
    "SystemCallErrorNumber=EPERM",
)
# Not SocketBindDeny=: seen with systemd 257, it is gone after the next daemon-reload.
DEAF = "SystemCallFilter=~listen accept accept4"
# What is mounted for the unit itself isn't covered by "/": without its own mention a program that was dropped there would run.
MOUNTED = ("/", "/run", "-/run/lock", "/tmp", "/var/tmp")  # noqa: S108 (forbidden, not written to)  # nosec B108
# Where systemd makes folders for a unit: systemd.exec(5). Each is mounted for the unit, too.
MADE = {
    "RuntimeDirectory": "/run",
    "CacheDirectory": "/var/cache",
    "StateDirectory": "/var/lib",
    "LogsDirectory": "/var/log",
}

# The values of these add up over a unit and its drop-ins; an empty one takes back what came before.
LISTS = (
    "BindReadOnlyPaths",
    "DeviceAllow",
    "ExecPaths",
    "IPAddressAllow",
    "IPAddressDeny",
    "InaccessiblePaths",
    "NoExecPaths",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RestrictAddressFamilies",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "TemporaryFileSystem",
)


def sandbox_directives(unit: Mapping[str, Any], drop_in: bool = False) -> list[str]:
    """Return the lines of the sandbox, as a section [Service] has them.

    Args:
        unit: the service, as in `systemd_unit_units`. What it doesn't say is as in `DEFAULTS`.
        drop_in: whether the lines are for a drop-in, which lets nothing of the distribution's own sandbox stand beside them.

    Raises:
        AnsibleFilterError: `sandbox_without` names a directive that isn't in the sandbox.
    """
    seen = {**DEFAULTS, **unit}
    lines = [
        *PRIVILEGES,
        f"UMask={seen['umask']}",
        *PLACES,
        *_paths(seen),
        *KERNEL,
        *([] if seen["listens"] else [DEAF]),
        *_network(list(seen["egress"])),
    ]
    unknown = set(seen["sandbox_without"]) - {_name(line) for line in lines}
    if unknown:
        raise AnsibleFilterError(f"sandbox_without names what the sandbox doesn't have: {', '.join(sorted(unknown))}")
    kept = [line for line in lines if _name(line) not in seen["sandbox_without"]]
    return [*(f"{name}=" for name in LISTS if drop_in), *kept]


def _name(line: str) -> str:
    return line.partition("=")[0]


def _paths(unit: Mapping[str, Any]) -> Iterator[str]:
    """Return what the unit may see, write to and execute.

    A service starts no other program by itself: only its own, the libraries and the release may be executed. File systems of the host's of
    their own, such as /run/lock, aren't covered by ProtectSystem=.
    """
    # Memory that is shared by name (shm_overview(7)) is each unit's own: what is written there counts as the unit's memory. NoExecPaths=
    # doesn't name it: of two entries for one path systemd keeps the first of its own order (drop_duplicates() in src/core/namespace.c), and
    # the memory would be the host's.
    yield f"TemporaryFileSystem=/dev/shm:mode=1777,size={unit['shared_memory']},noexec,nosuid,nodev"
    yield "ReadOnlyPaths=/run -/run/lock"
    # The system bus would tell of other units' processes. The journal's sockets take lines under any name; standard output and error need
    # none, since systemd connects them before it closes the way there. It is the folder, and not each socket: a socket that is made anew loses
    # what was mounted over it (mount_namespaces(7)), and syslog's lies there too.
    yield f"InaccessiblePaths=-/run/dbus{'' if unit['syslog'] else ' -/run/systemd/journal'}"
    places = (*MOUNTED, *unit["read_write_paths"], *_made_folders(unit["directives"]))
    closed = [path for path in places if path not in unit["exec_paths"]]
    yield f"NoExecPaths={' '.join(closed)}"
    programs = [
        "/usr/lib",
        *(["/usr/bin/python3", *unit["interpreter"]] if unit["python"] else []),
        *([unit["live"]] if unit["live"] else []),
        *unit["exec_paths"],
    ]
    yield f"ExecPaths={' '.join(programs)}"
    if unit["release"]:
        yield f"BindReadOnlyPaths={unit['release']}:{unit['live']}"
    if unit["read_write_paths"]:
        yield f"ReadWritePaths={' '.join(unit['read_write_paths'])}"


def _made_folders(directives: Mapping[str, Any]) -> Iterator[str]:
    """Return the folders that systemd makes for the unit, and lets it write to."""
    for name, parent in MADE.items():
        value = directives.get(name, [])
        for folders in [value] if isinstance(value, str) else value:
            yield from (f"{parent}/{folder}" for folder in folders.split())


def _network(egress: list[str]) -> list[str]:
    """Return whom the unit may talk to.

    A unit with no peers has no network at all: nothing to filter, and nothing to scan. Unix sockets need none, and a socket that systemd hands
    over stays in the network where it was made. `resolved` allows nothing by itself: who starts a transient unit adds the addresses.
    """
    if not egress:
        return ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "IPAddressDeny=any"]
    families = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"
    if "any" in egress:
        return [families]
    return [families, "IPAddressDeny=any", *(f"IPAddressAllow={peer}" for peer in egress if peer != "resolved")]


def unit_file(unit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the unit's file for the lookup rendered_files, whose template finds the unit, with all its keys, as `__unit`.

    Args:
        unit: the unit, as in `systemd_unit_units`.
    """
    return {"dest": f"/etc/systemd/system/{unit['name']}", "vars": {"__unit": {**DEFAULTS, **unit}}}


def command_file(command: Mapping[str, Any], unit: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's script for the lookup rendered_files, whose template finds the unit that it runs as in `__unit`.

    Args:
        command: `path`, `exec` and, where it has one of its own, `unit`, as in `systemd_unit_commands`.
        unit: the unit of commands that have none of their own; only of its own are a command's directives taken.
    """
    wanted = command.get("unit", unit)
    # systemd-run wants to find the program on the host, where the release isn't bound in; env, which is there, finds it inside.
    exec_paths = [*wanted.get("exec_paths", []), "/usr/bin/env"]
    own = "unit" in command
    directives = wanted.get("directives", {}) if own else {}
    seen = {
        "__unit": {**DEFAULTS, **wanted, "exec_paths": exec_paths, "directives": directives},
        "__command": command["exec"],
        "__command_directives": own,
    }
    return {"dest": command["path"], "mode": "0755", "vars": seen}


def staged_unit(unit: Mapping[str, Any], config_dir: str, staged_dir: str) -> dict[str, Any]:
    """Return the unit with the credentials and environment of a deployment that isn't current yet.

    Args:
        unit: the unit, as in `systemd_unit_units`.
        config_dir: folder of the files of the release that is current.
        staged_dir: folder of the same files for the deployment.
    """

    def staged(path: str) -> str:
        return path.replace(f"{config_dir}/", f"{staged_dir}/", 1) if path.startswith(f"{config_dir}/") else path

    return {
        **unit,
        "environment_files": [staged(path) for path in unit.get("environment_files", [])],
        "credentials": {name: staged(path) for name, path in unit.get("credentials", {}).items()},
    }


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (sandbox_directives, unit_file, command_file, staged_unit)}
