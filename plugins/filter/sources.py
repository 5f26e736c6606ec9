"""What a release is made of beside a project's folder: a package of the index, its locks, and files of the inventory's.

Pure functions of the inputs, so that they are checked before a host is asked. Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[A-Za-z0-9._, -]+\])?==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
# Locks that uv doesn't read, and the command that makes of each what it does.
FOREIGN = {
    "poetry.lock": "poetry export --output requirements.lock (of the plugin poetry-plugin-export)",
    "pdm.lock": "pdm export --prod --output requirements.lock",
    "Pipfile.lock": "pipenv requirements --hash > requirements.lock",
}
# A shorter text would stand in a file by chance (characters).
SHORTEST = 8


def lock_faults(requirements: Iterable[str]) -> list[str]:
    """Return what is wrong with the kind of a lock, each with the variable and the mend."""
    return [
        f"django_project_requirements has {name}, which uv doesn't read: run `{FOREIGN[PurePosixPath(name).name]}` and name that file"
        for name in requirements
        if PurePosixPath(name).name in FOREIGN
    ]


def package_faults(package: str, locks: Iterable[str], pins: Mapping[str, Iterable[str]], hashes: bool) -> list[str]:
    """Return what is wrong with a project that is a package of the index, each with the variable and the mend.

    Args:
        package: `django_project_package`; empty where the project is none.
        locks: paths of its locks on the controller.
        pins: what they pin.
        hashes: whether each requirement must have hashes.
    """
    if not package:
        return []
    matched = PACKAGE.fullmatch(package)
    if not matched:
        return [
            f"django_project_package is '{package}': write name==version, with extras in brackets, such as "
            "shop[postgres]==1.2.3"
        ]
    locks = list(locks)
    faults = [
        f"django_project_requirements has {name}: beside django_project_package it is a file on the controller; write its whole path, such as "
        '"{{ inventory_dir }}/../requirements.lock"'
        for name in locks
        if not (name.startswith("/") and Path(name).is_file())
    ]
    if not locks and hashes:
        faults.append(
            "django_project_requirements is empty, and hashes are required (django_project_require_hashes). Make a lock beside the inventory, "
            f"and name it there: echo '{package}' | uv pip compile --universal --python-version 3.11 --generate-hashes - -o requirements.lock"
        )
    name, version = re.sub(r"[-_.]+", "-", matched[1]).lower(), matched[2]
    if locks and not faults and version not in pins.get(name, ()):
        pinned = ", ".join(pins.get(name, ())) or "no version of it"
        faults.append(
            f"django_project_package is '{package}', and django_project_requirements pins {pinned}: make the lock anew, or "
            "name that version"
        )
    return faults


def source_files(files: Mapping[str, Any], package: str, locks: Iterable[str]) -> dict[str, str]:
    """Return the files that come to a release's source beside the project's own, by their path in it.

    Args:
        files: `django_project_files`.
        package: `django_project_package`; where the project is one, its locks are the source.
        locks: paths of its locks on the controller.
    """
    found = {Path(name).name: Path(name).read_text() for name in locks if Path(name).is_file()} if package else {}
    return found | {name: str(text) for name, text in files.items()}


def file_faults(files: Mapping[str, Any], secrets: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with `django_project_files`, each with the variable and the mend.

    Args:
        files: contents by path.
        secrets: values that nobody may read in a release, by the name of the credential or variable.
    """
    faults = []
    for name, text in files.items():
        parts = name.split("/")
        if not name or ".." in parts or str(PurePosixPath(name)) != name or name.startswith("/") or name == ".":
            faults.append(
                f"django_project_files has '{name}': name files below the source by relative paths without .."
            )
        if not isinstance(text, str):
            faults.append(f"django_project_files: {name} is no text: write its content, or a lookup of a template")
            continue
        known = [key for key, value in secrets.items() if len(str(value)) >= SHORTEST and str(value) in text]
        if known:
            faults.append(
                f"django_project_files: {name} holds the secret {known[0]}, and everybody on the host may read a release: put the file into "
                "stack_credentials_extra, and its path into a variable, such as stack_environment_from: {SHOP_CONFIG: file.shop_ini}"
            )
    return faults


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (lock_faults, package_faults, source_files, file_faults)}
