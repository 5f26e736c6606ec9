"""Which programs each service may start and which folders it may write to (`stack_programs`, `stack_writable_folders`).

Pure functions of the inventory, so that the same rules are checked before a host is asked and tested without one. Each filter is documented
in a file of its name beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SERVICES = ("web", "worker", "beat", "flower", "process", "operator")
# What has the rights of another, since it is the same account and loads the same code.
SAME = {"cleaner": "beat"}
EVERY = "all"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# systemd reads blanks, colons and % itself.
PATH = re.compile(r"(/[A-Za-z0-9._+@-]+)+")
MEDIA = "media"
# Whoever may write somewhere and start what lies there can start anything.
WRITABLE = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108 (refused, not written to)  # nosec B108


def access_faults(programs: Any, folders: Any, state_dir: str, media: str = "private", front: bool = True) -> list[str]:
    """Return what is wrong, each with the variable and the mend.

    Args:
        programs: `stack_programs`.
        folders: `stack_writable_folders`.
        state_dir: below which the folders lie.
        media: `stack_media`.
        front: `stack_front`.
    """
    faults = [*_program_faults(programs, (*WRITABLE, state_dir)), *_folder_faults(folders)]
    if media != "private" and not front:
        faults.append(
            f"stack_media is '{media}' and stack_front is false: it is the front that hands out uploads. Leave one out"
        )
    return faults


def _program_faults(programs: Any, writable: Sequence[str]) -> list[str]:
    known = (EVERY, *SERVICES)
    if not isinstance(programs, Mapping):
        return ["stack_programs must be lists of programs by service, such as {all: [/usr/bin/git]}"]
    faults = [
        f"stack_programs has the service '{service}'; known: {', '.join(known)}"
        for service in programs
        if service not in known
    ]
    for service, paths in programs.items():
        if not isinstance(paths, list):
            faults.append(f"stack_programs: {service} must be a list, such as [/usr/bin/git]")
            continue
        for path in map(str, paths):
            if not PATH.fullmatch(path) or ".." in path.split("/"):
                faults.append(
                    f"stack_programs: {service} has '{path}': write the whole path of a program, or of a folder with programs"
                )
            elif place := next((one for one in writable if path == one or path.startswith(f"{one}/")), ""):
                faults.append(
                    f"stack_programs: {service} has '{path}': services may write below {place}, and would start what they have written. "
                    "Put the program where only root writes"
                )
    return faults


def _folder_faults(folders: Any) -> list[str]:
    if not isinstance(folders, list) or not all(isinstance(one, Mapping) for one in folders):
        return ["stack_writable_folders must be a list of folders, such as [{name: exports, services: [worker]}]"]
    faults = []
    names = [str(one.get("name", "")) for one in folders]
    for index, (name, folder) in enumerate(zip(names, folders, strict=True)):
        where = f"stack_writable_folders[{index}] ({name or 'no name'})"
        if not NAME.fullmatch(name):
            faults.append(
                f"{where}: name must be lower-case letters, digits, _ and -, at most 32; it lies below stack_state_dir"
            )
        elif name == MEDIA:
            faults.append(f"{where}: uploads have that folder already; give this one another name")
        services = folder.get("services")
        if not isinstance(services, list) or not services or not set(map(str, services)) <= set(SERVICES):
            faults.append(f"{where}: services must list who may write to it, of {', '.join(SERVICES)}")
        faults += [
            f"{where}: unknown key '{key}'; known: name, services" for key in sorted(set(folder) - {"name", "services"})
        ]
    # Of their names are made those of environment variables.
    variables = [_variable(name) for name in names]
    twice = dict.fromkeys(
        name for name, variable in zip(names, variables, strict=True) if variables.count(variable) > 1
    )
    if twice:
        faults.append(f"stack_writable_folders has {' and '.join(twice)} twice; give each folder a name of its own")
    return faults


def service_access(
    programs: Mapping[str, Sequence[str]], folders: Iterable[Mapping[str, Any]], state_dir: str
) -> dict[str, dict[str, list[str]]]:
    """Return what the unit of each service gets, by service.

    Args:
        programs: `stack_programs`.
        folders: `stack_writable_folders`. Operators write to all of them.
        state_dir: below which the folders lie.
    """
    entries = list(folders)
    found = {}
    for name in (*SERVICES, *SAME):
        service = SAME.get(name, name)
        paths = [
            f"{state_dir}/{folder['name']}"
            for folder in entries
            if name == service and (service in folder["services"] or service == "operator")
        ]
        allowed = [*programs.get(EVERY, []), *programs.get(service, [])]
        found[name] = {"exec_paths": list(dict.fromkeys(allowed)), "read_write_paths": paths}
    return found


def folder_environment(folders: Iterable[Mapping[str, Any]], state_dir: str) -> dict[str, str]:
    """Return the environment variables by which the project finds its folders.

    Args:
        folders: `stack_writable_folders`.
        state_dir: below which they lie.
    """
    return {_variable(folder["name"]): f"{state_dir}/{folder['name']}" for folder in folders}


def _variable(name: str) -> str:
    return f"STACK_FOLDER_{name.upper().replace('-', '_')}"


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (access_faults, service_access, folder_environment)}
